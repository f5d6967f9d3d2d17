{{- define "hitchpost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "hitchpost.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "hitchpost.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "hitchpost.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "hitchpost.selector" -}}
app.kubernetes.io/name: {{ include "hitchpost.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "hitchpost.labels" -}}
{{ include "hitchpost.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "hitchpost.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "hitchpost.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "hitchpost.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "hitchpost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "hitchpost.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{/* What every process needs; the list of a Secret's values is by reference. */}}
{{- define "hitchpost.env" -}}
- name: HITCHPOST_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ required "existingSecret: the name of a Secret with the database's URL and the encryption keys" .Values.existingSecret }}
      key: {{ .Values.secretKeys.databaseUrl }}
- name: HITCHPOST_ENCRYPTION_KEYS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: {{ .Values.secretKeys.encryptionKeys }}
- name: HITCHPOST_PUBLIC_URL
  value: {{ required "publicUrl: the service web as browsers reach it, such as https://hitchpost.example.com" .Values.publicUrl | quote }}
- name: HITCHPOST_DRAIN_TIMEOUT
  value: {{ .Values.drainSeconds | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
