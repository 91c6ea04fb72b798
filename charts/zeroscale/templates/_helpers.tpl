{{- define "zeroscale.name" -}}
{{- if contains "zeroscale" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-zeroscale" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "zeroscale.selector" -}}
app.kubernetes.io/name: zeroscale
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "zeroscale.labels" -}}
{{ include "zeroscale.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "zeroscale.account" -}}
{{ default (include "zeroscale.name" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "zeroscale.config" -}}
{{- if .Values.config -}}
{{ .Values.config }}
{{- else -}}
[discovery]
kubernetes = true
listen = [{{ join ", " .Values.listen }}]
{{- end }}
{{- end }}
