{{/* Names */}}
{{- define "telemetry.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "telemetry.loggers" -}}
{{ include "telemetry.name" . }}-logger
{{- end -}}

{{/* Labels that never change: what selects. Takes (list root component). */}}
{{- define "telemetry.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* What selects the pods that a logger runs in. */}}
{{- define "telemetry.loggerSelector" -}}
{{- include "telemetry.selector" (list . (ternary "all" "logger" (eq .Values.form "embedded"))) -}}
{{- end -}}

{{/* What selects the pods that a monitor runs in. */}}
{{- define "telemetry.monitorSelector" -}}
{{- include "telemetry.selector" (list . (ternary "all" "monitor" (eq .Values.form "embedded"))) -}}
{{- end -}}

{{- define "telemetry.labels" -}}
{{- $root := index . 0 -}}
{{ include "telemetry.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* Labels of pods. In the platform's namespace `app` names the app under which a pod's own lines are read. */}}
{{- define "telemetry.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "telemetry.labels" . }}
app: {{ printf "deis-telemetry-%s" (index . 1) }}
{{- end -}}

{{- define "telemetry.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.prefix }}{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{/* The app under which the audit's lines arrive: by its label in the platform's namespace, else the namespace. */}}
{{- define "telemetry.auditApp" -}}
{{- if eq .Release.Namespace .Values.agent.platformNamespace -}}
deis-telemetry-audit
{{- else -}}
{{ .Release.Namespace }}
{{- end -}}
{{- end -}}

{{/* What every pod has. Takes (list root values-of-the-component). */}}
{{- define "telemetry.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
enableServiceLinks: false {{- /* variables of other Services must not look like settings */}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Whether the metrics APIs are served; empty if not. */}}
{{- define "telemetry.hpa" -}}
{{- if and .Values.monitor.enabled .Values.monitor.hpa.enabled -}}true{{- end -}}
{{- end -}}

{{/* Whether canaries are judged; empty if not. */}}
{{- define "telemetry.canary" -}}
{{- if and .Values.monitor.enabled .Values.monitor.canary.enabled -}}true{{- end -}}
{{- end -}}

{{/* Whether the API server is asked about silent nodes; empty if not. In the form embedded there is one node. */}}
{{- define "telemetry.goneNodes" -}}
{{- if and .Values.monitor.enabled .Values.monitor.goneNodes (ne .Values.form "embedded") -}}true{{- end -}}
{{- end -}}

{{/* Whether the monitor speaks to the API server, and so has a token; empty if not. */}}
{{- define "telemetry.monitorSpeaks" -}}
{{- if or (include "telemetry.hpa" .) (include "telemetry.canary" .) (include "telemetry.goneNodes" .) -}}true{{- end -}}
{{- end -}}

{{/* Whose account the monitor has: in the form embedded that of its pod. */}}
{{- define "telemetry.monitorAccount" -}}
{{ include "telemetry.name" . }}-{{ ternary "agent" "monitor" (eq .Values.form "embedded") }}
{{- end -}}

{{/* A token of the pod's account, which only containers that mount it see. */}}
{{- define "telemetry.tokenVolume" -}}
- name: api-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{- define "telemetry.ownUser" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "telemetry.agentUser" -}}
runAsUser: {{ .Values.agent.runAsUser }}
runAsGroup: {{ .Values.agent.runAsGroup }}
runAsNonRoot: {{ ne (int .Values.agent.runAsUser) 0 }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* What every container has. */}}
{{- define "telemetry.locked" -}}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Probes of a service: a slow machine is no dead one. Takes the name of the port. */}}
{{- define "telemetry.alive" -}}
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  initialDelaySeconds: 10
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
{{- end -}}

{{- define "telemetry.ready" -}}
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{- define "telemetry.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Spread over nodes where that is possible. Takes (list root component). */}}
{{- define "telemetry.apart" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "telemetry.selector" . | nindent 12 }}
{{- end -}}

{{/* Where the table and the states lie. */}}
{{- define "telemetry.storeEnv" -}}
{{- if eq .Values.form "embedded" }}
- name: STORE_URL
  value: /var/lib/telemetry/store
{{- else }}
- name: STORE_URL
  value: {{ .Values.store.url | quote }}
{{- with .Values.store.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.store.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .Values.store.allowHttp }}
- name: AWS_ALLOW_HTTP
  value: "true"
{{- end }}
{{- with .Values.store.credentialsSecret }}
{{- if .name }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .accessKeyIdKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .secretAccessKeyKey }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Who a pod of a StatefulSet is. */}}
{{- define "telemetry.podEnv" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end -}}

{{/* Settings of the log and of the queue. */}}
{{- define "telemetry.queueEnv" -}}
- name: LOG_FORMAT
  value: json
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- if eq .Values.form "embedded" }}
- name: QUEUE_URL
  value: sqlite:////var/lib/telemetry/queue/queue.db?max_bytes={{ int64 .Values.embedded.queueBytes }}
{{- else }}
- name: QUEUE_URL
  value: {{ .Values.queue.url | quote }}
{{- with .Values.queue.user }}
- name: QUEUE_USER
  value: {{ . | quote }}
{{- end }}
{{- if .Values.queue.passwordSecret.name }}
- name: QUEUE_PASSWORD_FILE
  value: /etc/deis-telemetry/queue/{{ .Values.queue.passwordSecret.key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "telemetry.queueMounts" -}}
{{- if ne .Values.form "embedded" }}
{{- if .Values.queue.passwordSecret.name }}
- {name: queue-password, mountPath: /etc/deis-telemetry/queue, readOnly: true}
{{- end }}
{{- if .Values.queue.tlsSecret }}
- {name: queue-tls, mountPath: /etc/deis-telemetry/kafka, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "telemetry.queueVolumes" -}}
{{- if ne .Values.form "embedded" }}
{{- if .Values.queue.passwordSecret.name }}
- name: queue-password
  secret:
    secretName: {{ .Values.queue.passwordSecret.name }}
    defaultMode: 0440
    items: [{key: {{ .Values.queue.passwordSecret.key }}, path: {{ .Values.queue.passwordSecret.key }}}]
{{- end }}
{{- if .Values.queue.tlsSecret }}
- name: queue-tls
  secret: {secretName: {{ .Values.queue.tlsSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end -}}

{{/* What the schema cannot say in words that help. */}}
{{- define "telemetry.check" -}}
{{- if eq .Values.form "embedded" -}}
{{- if gt (int (.Values.loggers.replicas | default 1)) 1 -}}
{{- fail "form embedded has one logger: a SQLite queue cannot be shared between nodes or loggers. Leave loggers.replicas out, or use form kafka" -}}
{{- end -}}
{{- if or .Values.queue.url .Values.store.url -}}
{{- fail "form embedded has a queue and a table of its own: leave queue.url and store.url out, or use form kafka" -}}
{{- end -}}
{{- if not .Values.embedded.node -}}
{{- $nodes := (lookup "v1" "Node" "" "").items | default list -}}
{{- if gt (len $nodes) 1 -}}
{{- fail (printf "form embedded reads the logs of one node, and this cluster has %d: use form kafka, or name the node in embedded.node" (len $nodes)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
