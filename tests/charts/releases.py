"""Values of releases that several tests render."""

from tests.charts.helm import Values

NAMESPACED: Values = {"namespaces": ["team-a", "team-b"], "defaults": {"engine": "paced"}}

EVERYTHING: Values = {
    "images": {
        "registry": "registry.example.com/niyama",
        "tag": "0.1.0-rc.1",
        "pullPolicy": "Always",
        "agentVllm": "example.com/vllm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    },
    "imagePullSecrets": [{"name": "registry"}],
    "clusterDomain": "k8s.example.com",
    "log": {"level": "debug", "json": False},
    "replicas": 2,
    "serviceAccount": {"name": "operator", "annotations": {"example.com/owner": "platform"}},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
    "podAnnotations": {"example.com/cost-centre": "42"},
    "podLabels": {"example.com/team": "platform"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "control", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
        }
    ],
    "priorityClassName": "system-cluster-critical",
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "attainmentObjective": 0.999,
        "runbookUrl": "https://example.com/runbook",
        "alertLabels": {"team": "platform"},
        "disabled": ["NiyamaReconcileFails"],
    },
    "priorityClasses": {"create": True},
}
