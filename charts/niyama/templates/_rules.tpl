{{/*
What the operator may do in a namespace that it watches; a ClusterRole and a Role have the same rules. It reads no
secrets: a pod that needs one names it, and the kubelet reads it.
*/}}
{{- define "niyama.rules" -}}
- apiGroups: [niyama.dev]
  resources: [niyamaclusters]
  verbs: [get, list, watch]
- apiGroups: [niyama.dev]
  resources: [niyamaclusters/status]
  verbs: [get, patch]
# Patched: the cost of deletion, which makes the least loaded replica go first.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create, patch]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
