"""What operators watch: Prometheus metrics and structured logs. Neither ever holds a prompt, an answer or a key."""

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

OVERHEAD_BUCKETS_MS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 500)
LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


def configure_logging() -> None:
    """Write one JSON object per line to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@dataclass(slots=True)
class Metrics:
    """The service's metrics; one registry per application."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    latency_s: Histogram = field(init=False)
    overhead_ms: Histogram = field(init=False)
    feedback: Gauge = field(init=False)
    errors: Counter = field(init=False)
    spend_usd: Gauge = field(init=False)
    lambda_: Gauge = field(init=False)
    observations: Gauge = field(init=False)
    quality: Gauge = field(init=False)
    share: Gauge = field(init=False)
    honest: Gauge = field(init=False)
    damped: Gauge = field(init=False)
    distrusted: Gauge = field(init=False)
    judge_weight: Gauge = field(init=False)
    judge_ece: Gauge = field(init=False)
    alarms: Counter = field(init=False)
    webhook_failures: Counter = field(init=False)
    learning: Gauge = field(init=False)
    policy_changes: Counter = field(init=False)
    policy_share: Gauge = field(init=False)
    policy_gain: Gauge = field(init=False)
    registry_up: Gauge = field(init=False)

    def __post_init__(self) -> None:
        r = self.registry
        self.requests = Counter("headrace_requests", "Answered requests", ["model", "stage"], registry=r)
        self.latency_s = Histogram(
            "headrace_request_seconds", "Time to the whole answer", buckets=LATENCY_BUCKETS_S, registry=r
        )
        self.overhead_ms = Histogram(
            "headrace_overhead_milliseconds", "Time spent outside of upstreams", buckets=OVERHEAD_BUCKETS_MS, registry=r
        )
        self.feedback = Gauge("headrace_feedback_events", "Distinct feedback values accepted", registry=r)
        self.errors = Counter("headrace_errors", "Requests that failed", ["code"], registry=r)
        self.spend_usd = Gauge("headrace_spend_usd", "Money spent upstream", ["account"], registry=r)
        self.lambda_ = Gauge("headrace_lambda", "Quality per USD that money must buy", registry=r)
        self.observations = Gauge("headrace_observations", "What the learner has learned from", registry=r)
        self.quality = Gauge("headrace_model_quality", "Believed quality of a model", ["model"], registry=r)
        self.share = Gauge("headrace_model_share", "Share of recent answers by a model", ["model"], registry=r)
        self.honest = Gauge("headrace_model_honest_quality", "Quality of a model's answers", ["model"], registry=r)
        self.damped = Gauge("headrace_ratings_damped", "Ratings that counted for less than one", ["by"], registry=r)
        self.distrusted = Gauge("headrace_raters_distrusted", "Who rates against all else", ["by"], registry=r)
        self.judge_weight = Gauge("headrace_judge_weight", "How far a judge is believed", ["judge"], registry=r)
        self.judge_ece = Gauge("headrace_judge_ece", "Calibration error of a judge's scores", ["judge"], registry=r)
        self.alarms = Counter("headrace_drift_alarms", "Alarms that were raised", ["model", "kind"], registry=r)
        self.webhook_failures = Counter("headrace_webhook_failures", "Alarms that were not taken", registry=r)
        self.learning = Gauge("headrace_learning", "1 for what learning does now", ["state", "reason"], registry=r)
        self.policy_changes = Counter("headrace_policy_changes", "Versions that changed state", ["change"], registry=r)
        self.policy_share = Gauge("headrace_policy_share", "Share of requests by version", ["policy"], registry=r)
        self.policy_gain = Gauge("headrace_policy_gain", "Utility that the newer version gains", ["end"], registry=r)
        self.registry_up = Gauge("headrace_registry_up", "Whether MLflow's registry can be written", registry=r)

    def learns(self, state: str, code: str) -> None:
        """Say what learning does now, and why."""
        self.learning.clear()
        self.learning.labels(state, code).set(1.0)

    def answered(self, *, model: str, stage: str, seconds: float, overhead_ms: float) -> None:
        """Count one answered request."""
        self.requests.labels(model, stage).inc()
        self.latency_s.observe(seconds)
        self.overhead_ms.observe(overhead_ms)

    def policies(self, serving: Mapping[str, float], gain: Mapping[str, float] | None, *, is_registry_up: bool) -> None:
        """Bring the policy's gauges up to date: who serves, and what the contest under way has shown."""
        self.policy_share.clear()
        self.policy_gain.clear()
        for policy, share in serving.items():
            self.policy_share.labels(policy).set(share)
        for end, value in (gain or {}).items():
            self.policy_gain.labels(end).set(value)
        self.registry_up.set(float(is_registry_up))

    def render(
        self,
        *,
        lambda_: float,
        observations: int,
        feedback_events: int,
        spend: dict[str, float],
        models: Iterable[tuple[str, float, float]],
        honest: Mapping[str, float],
        raters: Mapping[str, Mapping[str, int]],
        judges: Iterable[tuple[str, float, float]],
    ) -> bytes:
        """Return the exposition text after bringing the gauges up to date."""
        self.lambda_.set(lambda_)
        self.observations.set(observations)
        self.feedback.set(feedback_events)
        for account, usd in spend.items():
            self.spend_usd.labels(account).set(usd)
        for model, quality, share in models:
            self.quality.labels(model).set(quality)
            self.share.labels(model).set(share)
        for model, mean in honest.items():
            self.honest.labels(model).set(mean)
        for kind, counted in raters.items():
            self.damped.labels(kind).set(counted["damped"] + counted["bursts"])
            self.distrusted.labels(kind).set(counted["distrusted"])
        for judge, weight, ece in judges:
            self.judge_weight.labels(judge).set(weight)
            self.judge_ece.labels(judge).set(ece)
        return generate_latest(self.registry)
