{{- define "telemetry.agent.container" -}}
- name: agent
  image: {{ include "telemetry.image" (list . "agent") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -m, fluentd]
  env:
    {{- include "telemetry.queueEnv" . | nindent 4 }}
    - name: AGENT_NODE
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
    - name: AGENT_LISTEN
      value: ":8090"
    - name: AGENT_POD_LOGS
      value: {{ .Values.agent.podLogsPath }}
    - name: AGENT_LINK_TARGETS
      value: {{ join ":" .Values.agent.linkTargets | quote }}
    - name: AGENT_STATE
      value: /var/lib/telemetry/agent
    - name: AGENT_KUBERNETES
      value: in-cluster
    - name: AGENT_PLATFORM_NAMESPACE
      value: {{ .Values.agent.platformNamespace | quote }}
    - name: AGENT_POD_SELECTOR
      value: {{ .Values.agent.podSelector | quote }}
    - name: AGENT_NAMESPACES
      value: {{ join "," .Values.agent.namespaces | quote }}
    - name: AGENT_DRAIN_SECONDS
      value: {{ .Values.agent.drainSeconds | quote }}
    {{- if .Values.agent.rules }}
    - name: AGENT_RULES
      value: /etc/deis-telemetry/rules/rules.json
    {{- end }}
    {{- include "telemetry.env" .Values.agent.env | nindent 4 }}
  ports:
    - {name: agent, containerPort: 8090}
    {{- with .Values.agent.ports }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "telemetry.alive" "agent" | nindent 2 }}
  {{- include "telemetry.ready" "agent" | nindent 2 }}
  {{- include "telemetry.locked" . | nindent 2 }}
  resources:
    {{- toYaml .Values.agent.resources | nindent 4 }}
  volumeMounts:
    - {name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    - {name: pod-logs, mountPath: {{ .Values.agent.podLogsPath }}, readOnly: true}
    {{- range $number, $path := .Values.agent.linkTargets }}
    - {name: link-target-{{ $number }}, mountPath: {{ $path }}, readOnly: true}
    {{- end }}
    {{- if .Values.agent.rules }}
    - {name: rules, mountPath: /etc/deis-telemetry/rules, readOnly: true}
    {{- end }}
    {{- range $number, $name := .Values.agent.secrets }}
    - {name: secret-{{ $number }}, mountPath: /etc/deis-telemetry/secrets/{{ $name }}, readOnly: true}
    {{- end }}
    {{- if eq .Values.form "embedded" }}
    - {name: data, mountPath: /var/lib/telemetry}
    {{- else }}
    - {name: state, mountPath: /var/lib/telemetry/agent}
    {{- end }}
    {{- include "telemetry.queueMounts" . | nindent 4 }}
{{- end -}}

{{/* Where the logs are, on the node; and the token, which no other container of the pod sees. */}}
{{- define "telemetry.agent.volumes" -}}
{{ include "telemetry.tokenVolume" . }}
- name: pod-logs
  hostPath: {path: {{ .Values.agent.podLogsPath }}, type: Directory}
{{- range $number, $path := .Values.agent.linkTargets }}
- name: link-target-{{ $number }}
  hostPath: {path: {{ $path }}, type: Directory}
{{- end }}
{{- if .Values.agent.rules }}
- name: rules
  configMap: {name: {{ include "telemetry.name" . }}-rules}
{{- end }}
{{- range $number, $name := .Values.agent.secrets }}
- name: secret-{{ $number }}
  secret: {secretName: {{ $name }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/*
A logger that is up answers what it can, and says what an answer lacks: so it stays behind its Service while the queue
or the bucket is away. But it must have been able to do all of its work once, or an update stops at it.
*/}}
{{- define "telemetry.logger.container" -}}
- name: logger
  image: {{ include "telemetry.image" (list . "logger") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -m, logger]
  env:
    {{- include "telemetry.queueEnv" . | nindent 4 }}
    - name: LOGGER_LISTEN
      value: ":8087"
    {{- if .Values.loggers.deis.enabled }}
    - name: LOGGER_DEIS_LISTEN
      value: ":8088"
    {{- end }}
    - name: LOGGER_TOKENS
      value: /etc/deis-telemetry/tokens/{{ .Values.loggers.tokensSecret.key }}
    - name: LOGGER_RETENTION_DAYS
      value: {{ .Values.loggers.retentionDays | quote }}
    - name: LOGGER_DEAD_LETTERS
      value: /var/lib/telemetry/dead-letters
    - name: LOGGER_CACHE
      value: /var/lib/telemetry/cache
    {{- include "telemetry.storeEnv" . | nindent 4 }}
    {{- if ne .Values.form "embedded" }}
    {{- include "telemetry.podEnv" . | nindent 4 }}
    - name: LOGGER_URL
      value: http://$(POD_NAME).{{ include "telemetry.loggers" . }}-peers.$(POD_NAMESPACE).svc:8087
    - name: LOGGER_PEER_SECRET_FILE
      value: /etc/deis-telemetry/peers/{{ .Values.loggers.peerSecret.key }}
    - name: LOGGER_CACHE_BYTES
      value: {{ int64 .Values.loggers.cacheBytes | quote }}
    {{- end }}
    {{- include "telemetry.env" .Values.loggers.env | nindent 4 }}
  ports:
    - {name: api, containerPort: 8087}
    {{- if .Values.loggers.deis.enabled }}
    - {name: deis, containerPort: 8088}
    {{- end }}
  startupProbe:
    httpGet: {path: /readyz, port: api}
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 120
  {{- include "telemetry.alive" "api" | nindent 2 }}
  readinessProbe:
    httpGet: {path: /healthz, port: api}
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 3
  {{- include "telemetry.locked" . | nindent 2 }}
  resources:
    {{- toYaml .Values.loggers.resources | nindent 4 }}
  volumeMounts:
    - {name: tokens, mountPath: /etc/deis-telemetry/tokens, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    - {name: data, mountPath: /var/lib/telemetry}
    {{- if ne .Values.form "embedded" }}
    - {name: peers, mountPath: /etc/deis-telemetry/peers, readOnly: true}
    {{- end }}
    {{- include "telemetry.queueMounts" . | nindent 4 }}
{{- end -}}

{{- define "telemetry.logger.volumes" -}}
- name: tokens
  secret:
    secretName: {{ .Values.loggers.tokensSecret.name }}
    defaultMode: 0440
    items: [{key: {{ .Values.loggers.tokensSecret.key }}, path: {{ .Values.loggers.tokensSecret.key }}}]
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- end -}}

{{- define "telemetry.monitor.container" -}}
- name: monitor
  image: {{ include "telemetry.image" (list . "monitor") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -m, monitor]
  env:
    {{- include "telemetry.queueEnv" . | nindent 4 }}
    {{- include "telemetry.storeEnv" . | nindent 4 }}
    - name: MONITOR_LISTEN
      value: ":8089"
    - name: MONITOR_TOKENS
      value: /etc/deis-telemetry/tokens/{{ .Values.loggers.tokensSecret.key }}
    {{- if ne .Values.form "embedded" }}
    {{- include "telemetry.podEnv" . | nindent 4 }}
    - name: MONITOR_URL
      value: http://$(POD_NAME).{{ include "telemetry.name" . }}-monitor-peers.$(POD_NAMESPACE).svc:8089
    - name: MONITOR_INSTANCE
      value: $(POD_NAME)
    - name: MONITOR_PEER_SECRET_FILE
      value: /etc/deis-telemetry/peers/{{ .Values.loggers.peerSecret.key }}
    {{- end }}
    {{- if .Values.monitor.rules }}
    - name: MONITOR_RULES
      value: /etc/deis-telemetry/metric-rules/rules.yaml
    {{- end }}
    {{- if include "telemetry.hpa" . }}
    - name: MONITOR_HPA_LISTEN
      value: ":6443"
    - name: MONITOR_HPA_CERT
      value: /etc/deis-telemetry/hpa/tls.crt
    - name: MONITOR_HPA_KEY
      value: /etc/deis-telemetry/hpa/tls.key
    {{- with .Values.monitor.hpa.fallback }}
    {{- if .url }}
    - name: MONITOR_FALLBACK_APISERVICE
      value: {{ .url | quote }}
    {{- if .caSecret }}
    - name: MONITOR_FALLBACK_CA
      value: /etc/deis-telemetry/hpa-fallback/ca.crt
    {{- end }}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- if include "telemetry.goneNodes" . }}
    - {name: MONITOR_ASK_NODES, value: "true"}
    {{- end }}
    {{- if include "telemetry.canary" . }}
    - {name: MONITOR_CANARY, value: "on"}
    - name: MONITOR_CANARY_NAMESPACE
      value: {{ .Release.Namespace }}
    {{- with .Values.monitor.canary }}
    {{- if .prometheus }}
    - name: MONITOR_CANARY_PROMETHEUS
      value: {{ .prometheus | quote }}
    {{- end }}
    {{- if .deis.url }}
    - name: MONITOR_DEIS_URL
      value: {{ .deis.url | quote }}
    - name: MONITOR_DEIS_TOKEN
      valueFrom: {secretKeyRef: {name: {{ .deis.secret }}, key: token}}
    {{- end }}
    {{- if .deis.hookUrl }}
    - name: MONITOR_DEIS_HOOK_LISTEN
      value: ":8090"
    - name: MONITOR_DEIS_HOOK_URL
      value: {{ .deis.hookUrl | quote }}
    - name: MONITOR_DEIS_HOOK_KEY
      valueFrom: {secretKeyRef: {name: {{ .deis.secret }}, key: hook-key}}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- include "telemetry.env" .Values.monitor.env | nindent 4 }}
  ports:
    - {name: monitor, containerPort: 8089}
    {{- if and (include "telemetry.canary" .) .Values.monitor.canary.deis.hookUrl }}
    - {name: deis-hook, containerPort: 8090}
    {{- end }}
    {{- if include "telemetry.hpa" . }}
    - {name: hpa, containerPort: 6443}
    {{- end }}
  {{- include "telemetry.alive" "monitor" | nindent 2 }}
  {{- include "telemetry.ready" "monitor" | nindent 2 }}
  {{- include "telemetry.locked" . | nindent 2 }}
  resources:
    {{- toYaml .Values.monitor.resources | nindent 4 }}
  volumeMounts:
    {{- include "telemetry.monitorMounts" . | nindent 4 }}
{{- end -}}

{{- define "telemetry.monitorMounts" -}}
- {name: tokens, mountPath: /etc/deis-telemetry/tokens, readOnly: true}
{{- if eq .Values.form "embedded" }}
- {name: data, mountPath: /var/lib/telemetry}
{{- else }}
- {name: peers, mountPath: /etc/deis-telemetry/peers, readOnly: true}
{{- end }}
{{- if .Values.monitor.rules }}
- {name: metric-rules, mountPath: /etc/deis-telemetry/metric-rules, readOnly: true}
{{- end }}
{{- if include "telemetry.monitorSpeaks" . }}
- {name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- if include "telemetry.hpa" . }}
- {name: hpa-certificate, mountPath: /etc/deis-telemetry/hpa, readOnly: true}
{{- if .Values.monitor.hpa.fallback.caSecret }}
- {name: hpa-fallback, mountPath: /etc/deis-telemetry/hpa-fallback, readOnly: true}
{{- end }}
{{- end }}
{{ include "telemetry.queueMounts" . | trim }}
{{- end -}}

{{/* What the monitor has beside the tokens, in both forms. */}}
{{- define "telemetry.monitor.volumes" -}}
{{- if .Values.monitor.rules }}
- name: metric-rules
  configMap: {name: {{ include "telemetry.name" . }}-metric-rules}
{{- end }}
{{- if include "telemetry.hpa" . }}
- name: hpa-certificate
  secret: {secretName: {{ .Values.monitor.hpa.certificateSecret }}, defaultMode: 0440}
{{- if .Values.monitor.hpa.fallback.caSecret }}
- name: hpa-fallback
  secret: {secretName: {{ .Values.monitor.hpa.fallback.caSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end -}}
