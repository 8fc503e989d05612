"""The queue in one Kafka topic, for many machines.

::

    send --> lane of the partition (one batch at a time) --> idempotent producer, acks=all --> topic
                                                                                        fetch <--'
    URL: kafka://host:port,host2:port/TOPIC?option=value      (see `options.KafkaOptions` and docs/kafka.md)

The queue's identity is the cluster's id and the topic's id, so that a topic deleted and made anew is another queue.

Modules, lower ones know nothing of higher ones::

    options      what the URL says
    failures     errors of the client library, told in the words of `pipeline.errors`
    login        TLS and SASL: secrets from files or the environment
    wire         the one request that the client library does not have
    topic        the topic's identity; made on request, else checked
    generation   one life of the idempotent producer, which can be ended for good
    producer     `pipeline.queue.Producer`
    consumer     `pipeline.queue.Consumer`
    lease        up to when a member is sure of what it owns
    members      who owns what, from the group's own description
    group        `pipeline.queue.GroupConsumer`
"""

import logging

from pipeline.queue.kafka.consumer import KafkaConsumer
from pipeline.queue.kafka.group import KafkaGroupConsumer
from pipeline.queue.kafka.options import KafkaOptions, parse_url
from pipeline.queue.kafka.producer import KafkaProducer

# The client library logs every attempt to reach a broker that is away, ten a second. What matters of it is in the
# errors raised here; whoever wants the rest sets up Python's logging.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())

__all__ = ["KafkaConsumer", "KafkaGroupConsumer", "KafkaOptions", "KafkaProducer", "parse_url"]
