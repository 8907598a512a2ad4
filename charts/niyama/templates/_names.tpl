{{/* Name of the chart in labels. */}}
{{- define "niyama.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of every object; 54 characters, so that `-metrics` and the like still fit in a label. */}}
{{- define "niyama.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 54 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "niyama.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "niyama.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/*
By which the operator's pods are found. The component matters: a NiyamaCluster that is named like the release gives its
pods the same name and instance.
*/}}
{{- define "niyama.selectorLabels" -}}
app.kubernetes.io/name: {{ include "niyama.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of every object but the pods' own component. */}}
{{- define "niyama.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "niyama.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: niyama
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "niyama.labels" -}}
{{ include "niyama.commonLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels or annotations of the chart's with those of the values; the chart's win. Takes a dict: own (YAML), more. */}}
{{- define "niyama.merged" -}}
{{- toYaml (merge (fromYaml .own) .more) }}
{{- end }}

{{/* The Lease that the working operator holds; the operator's Role names it. */}}
{{- define "niyama.leaseName" -}}
niyama-operator
{{- end }}
