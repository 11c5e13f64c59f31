{{- define "ferrocart.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ferrocart.platform" -}}
{{- .Files.Get "files/platform.yaml" -}}
{{- end -}}

{{- define "ferrocart.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What tells one program's pods from another's. */}}
{{- define "ferrocart.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component | default "service" }}
{{- end -}}

{{- define "ferrocart.labels" -}}
{{ include "ferrocart.selector" . }}
app.kubernetes.io/part-of: ferrocart
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "ferrocart.secret" -}}
{{- .values.secret | default (printf "%s-%s" (include "ferrocart.fullname" .root) .name) -}}
{{- end -}}

{{- define "ferrocart.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user | default 10001 }}
runAsGroup: {{ .user | default 10001 }}
fsGroup: {{ .user | default 10001 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "ferrocart.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* A service's settings. */}}
{{- define "ferrocart.env" -}}
{{- $full := include "ferrocart.fullname" .root -}}
{{- $secret := include "ferrocart.secret" . -}}
{{- $platform := include "ferrocart.platform" .root | fromYaml -}}
- { name: HOST, value: 0.0.0.0 }
- { name: PORT, value: {{ .fact.port | quote }} }
- { name: LOG_LEVEL, value: {{ .root.Values.logLevel | quote }} }
- name: KAFKA_BROKERS
  value: {{ if .root.Values.stores.bundled }}{{ $full }}-kafka:9092{{ else }}{{ .root.Values.stores.kafka.brokers }}{{ end }}
- { name: KAFKA_PARTITIONS, value: {{ .root.Values.stores.kafka.partitions | quote }} }
{{- with .root.Values.otlpEndpoint }}
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }} }
{{- end }}
- { name: INTERNAL_SIGNING_KEY_FILE, value: /run/ferrocart/keys/signing-key }
- { name: INTERNAL_JWKS_FILE, value: /run/ferrocart/jwks/internal-jwks.json }
{{- range $variable, $key := .fact.secretFiles }}
- { name: {{ $variable }}, value: /run/ferrocart/keys/{{ $key }} }
{{- end }}
{{- if .fact.database }}
- name: DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: database-url } }
{{- end }}
{{- if .fact.redis }}
- name: REDIS_URL
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: redis-url } }
{{- end }}
{{- range $variable, $key := .fact.secretEnv }}
- name: {{ $variable }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $key }} } }
{{- end }}
{{- range .fact.calls }}
- name: {{ upper . }}_URL
  value: http://{{ $full }}-{{ . }}:{{ (get $platform .).port }}
{{- end }}
{{- if eq .name "gateway" }}
{{- if .root.Values.tls.secret }}
- { name: TLS_CERT_FILE, value: /run/ferrocart/tls/tls.crt }
- { name: TLS_KEY_FILE, value: /run/ferrocart/tls/tls.key }
{{- end }}
{{- with .root.Values.oidc.issuer }}
- { name: OIDC_ISSUER, value: {{ . | quote }} }
- { name: OIDC_AUDIENCE, value: {{ $.root.Values.oidc.audience | quote }} }
{{- end }}
- { name: PASSWORD_RESET_URL, value: {{ printf "%s/password-reset" (trimSuffix "/" .root.Values.mail.linkBase) | quote }} }
- { name: EMAIL_CHANGE_URL, value: {{ printf "%s/email-change" (trimSuffix "/" .root.Values.mail.linkBase) | quote }} }
{{- else if eq .name "catalog" }}
- { name: IMAGE_URL_TEMPLATE, value: {{ .root.Values.images.urlTemplate | quote }} }
- { name: IMAGE_WIDTHS, value: {{ .root.Values.images.widths | join "," | quote }} }
{{- else if eq .name "search" }}
{{- if eq .root.Values.search.engine "embedded" }}
- { name: INDEX_DIR, value: /var/lib/ferrocart/search-index/index }
{{- else }}
- name: SEARCH_ENGINE
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: search-engine } }
{{- end }}
{{- else if eq .name "payment" }}
- name: PSP_URL
  value: {{ if .root.Values.sandbox.enabled }}http://{{ $full }}-psp-sandbox:8090{{ else }}{{ .root.Values.payment.providerUrl }}{{ end }}
- name: PSP_RETURN_URL
  value: {{ .root.Values.payment.returnUrl | quote }}
{{- else if eq .name "notification" }}
- { name: MAIL_TRANSPORT, value: smtp }
- { name: MAIL_FROM, value: {{ .root.Values.mail.from | quote }} }
- { name: LINK_BASE, value: {{ .root.Values.mail.linkBase | quote }} }
{{- with .root.Values.sms }}
{{- if .url }}
- { name: SMS__URL, value: {{ .url | quote }} }
- { name: SMS__ACCOUNT_SID, value: {{ required "sms.accountSid" .accountSid | quote }} }
- { name: SMS__FROM, value: {{ required "sms.from" .from | quote }} }
- { name: SMS__PREFIXES, value: {{ .prefixes | quote }} }
- name: SMS_AUTH_TOKEN
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: sms-auth-token } }
{{- end }}
{{- end }}
{{- end }}
{{- range $variable, $value := .values.env }}
- { name: {{ $variable }}, value: {{ $value | quote }} }
{{- end }}
{{- end -}}

{{- define "ferrocart.keyMounts" -}}
- { name: keys, mountPath: /run/ferrocart/keys, readOnly: true }
- { name: jwks, mountPath: /run/ferrocart/jwks, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- if and (eq .name "gateway") .root.Values.tls.secret }}
- { name: tls, mountPath: /run/ferrocart/tls, readOnly: true }
{{- end }}
{{- end -}}

{{- define "ferrocart.keyVolumes" -}}
- name: keys
  secret:
    secretName: {{ include "ferrocart.secret" . }}
    defaultMode: 0440
    items:
      - { key: signing-key, path: signing-key }
      {{- range .fact.secretFiles }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
- name: jwks
  configMap:
    name: {{ .root.Values.secrets.internalJwksConfigMap | default (printf "%s-internal-jwks" (include "ferrocart.fullname" .root)) }}
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
{{- if and (eq .name "gateway") .root.Values.tls.secret }}
- name: tls
  secret: { secretName: {{ .root.Values.tls.secret }}, defaultMode: 0440 }
{{- end }}
{{- end -}}

{{/* Lets a bundled store's pods be found by a NetworkPolicy. */}}
{{- define "ferrocart.bundledPeer" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .store }}
      app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}
