{{/* The operator's configuration file. Values go in as JSON, which YAML is, so that nothing needs quoting. */}}
{{- define "niyama.config" -}}
{{- $secrets := list }}
{{- range .Values.imagePullSecrets }}{{ $secrets = append $secrets .name }}{{ end -}}
namespaces: {{ toJson .Values.namespaces }}
defaults:
  engine: {{ toJson .Values.defaults.engine }}
images:
  router: {{ include "niyama.image" (dict "root" . "key" "router" "image" "niyama-router") | toJson }}
  agent: {{ include "niyama.image" (dict "root" . "key" "agent" "image" "niyama-agent") | toJson }}
  agentVllm: {{ include "niyama.image" (dict "root" . "key" "agentVllm" "image" "niyama-agent-vllm") | toJson }}
  redis: {{ toJson .Values.images.redis }}
imagePullPolicy: {{ toJson .Values.images.pullPolicy }}
imagePullSecrets: {{ toJson $secrets }}
clusterDomain: {{ toJson .Values.clusterDomain }}
lease:
  namespace: {{ toJson .Release.Namespace }}
  name: {{ include "niyama.leaseName" . | toJson }}
metrics: "0.0.0.0:9090"
health: "0.0.0.0:8080"
log:
  level: {{ toJson .Values.log.level }}
  json: {{ toJson .Values.log.json }}
{{- end }}
