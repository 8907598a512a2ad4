{{/*
Full reference of one of Niyama's images: what `images.KEY` says, else the one of the registry.
Takes a dict: root, key (of values) and image (its name).
*/}}
{{- define "niyama.image" -}}
{{- $images := .root.Values.images }}
{{- $own := printf "%s/%s:%s" (trimSuffix "/" $images.registry) .image (default .root.Chart.AppVersion $images.tag) }}
{{- default $own (get $images .key) }}
{{- end }}

{{- define "niyama.image.operator" -}}
{{- include "niyama.image" (dict "root" . "key" "operator" "image" "niyama-operator") }}
{{- end }}
