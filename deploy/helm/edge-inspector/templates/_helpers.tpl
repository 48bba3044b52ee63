{{/* One release is one station, so both have one name. */}}
{{- define "station.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "station.labels" -}}
app.kubernetes.io/name: edge-inspector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "station.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The kubelet asks from the box itself, so on the host's network it reaches a page that listens on 127.0.0.1 only. */}}
{{- define "station.asked" -}}
httpGet:
  path: {{ .path }}
  port: page
  scheme: {{ ternary "HTTPS" "HTTP" .values.page.tls }}
  {{- if .values.hostNetwork }}
  host: 127.0.0.1
  {{- end }}
timeoutSeconds: 3
{{- end -}}
