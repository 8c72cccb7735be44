"""AWS machines at the spot price, and at the usual price where no spot machine can be had.

Ray 2.60's autoscaler does not do this: refused a spot machine, it asks for the same one every five seconds, and never
for another node type with the same resources. ``cluster/aws.yaml`` names this class as its provider.
"""

from __future__ import annotations

from typing import Any

from ray.autoscaler._private.aws.node_provider import AWSNodeProvider


class SpotFirst(AWSNodeProvider):
    """Ray's provider for AWS; node types with ``InstanceMarketOptions`` fall back to on-demand machines."""

    def _create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Start up to ``count`` machines: at the spot price, else, when AWS refuses in every zone, at the usual one."""
        try:
            return super()._create_node(node_config, tags, count)
        except Exception:  # Ray turns AWS's refusal into several kinds of error
            if "InstanceMarketOptions" not in node_config:
                raise
            on_demand = {key: value for key, value in node_config.items() if key != "InstanceMarketOptions"}
            return super()._create_node(on_demand, tags, count)
