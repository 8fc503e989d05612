"""Which API server the monitor speaks to, where it speaks to one."""

from pydantic import Field

from pipeline.settings import CommonSettings


class ClusterSettings(CommonSettings):
    """What all parts that speak to the API server share."""

    kubernetes: str = Field(
        default="in-cluster",
        min_length=1,
        validation_alias="MONITOR_KUBERNETES",
        description="The API server, for what needs one (MONITOR_ASK_NODES, MONITOR_CANARY, MONITOR_HPA_LISTEN): "
        "`in-cluster`, or a kubeconfig file.",
    )
