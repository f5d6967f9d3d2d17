"""The Helm chart: what it renders is what Kubernetes takes, and keeps what it promises."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import tools
from tests.kit.servers import REPOSITORY

CHART = tools.DEPLOY / "helm" / "hitchpost"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
LEAST = ("--values", str(CHART / "ci" / "least.yaml"))
ROLES = {"grpc", "web", "worker"}
# The oldest that Chart.yaml allows, and the newest whose schemas there are.
KUBERNETES = ("1.27.0", "1.37.0")
Json = dict[str, Any]


def render(*arguments: str) -> str:
    return tools.run("helm", "template", "release", str(CHART), "--namespace", "hp", *arguments)


def rendered(*arguments: str) -> list[Json]:
    return [document for document in yaml.safe_load_all(render(*arguments)) if document]


def of_kind(documents: list[Json], kind: str) -> dict[str, Json]:
    """The documents of a kind by their component."""
    found = [document for document in documents if document["kind"] == kind]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in found}


def pods(documents: list[Json]) -> Iterator[Json]:
    for document in documents:
        if document["kind"] in ("Deployment", "Job"):
            yield document["spec"]["template"]["spec"]


@pytest.fixture(scope="module", params=KUBERNETES)
def schemas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A version of Kubernetes and its schemas."""
    return request.param, tools.kubernetes_schemas(request.param, tmp_path_factory.mktemp("schemas") / "all")


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_complain_about(values: Path) -> None:
    tools.run("helm", "lint", "--strict", str(CHART), "--values", str(values))


def check(schemas: tuple[str, Path]) -> tuple[str, ...]:
    """The command that checks documents on its stdin."""
    version, folder = schemas
    place = f"{folder}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    return ("kubeconform", "-strict", "-summary", "-kubernetes-version", version, "-schema-location", place)


def test_kubernetes_takes_what_is_rendered(schemas: tuple[str, Path]) -> None:
    for values in VALUES:
        said = tools.run(*check(schemas), text=render("--values", str(values)))
        assert "Invalid: 0, Errors: 0, Skipped: 0" in said
    misspelt = render(*LEAST).replace("replicas:", "replicaz:")
    assert "Invalid: 3, Errors: 0" in tools.attempt(*check(schemas), text=misspelt).stdout


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_pod_has_no_rights_and_writes_into_tmp_alone(values: Path) -> None:
    documents = rendered("--values", str(values))
    assert set(of_kind(documents, "Deployment")) == ROLES
    for pod in pods(documents):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"]
        written = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert written == ["/tmp"]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_setting_is_one_and_secrets_come_by_reference(values: Path) -> None:
    documents = rendered("--values", str(values))
    assert not of_kind(documents, "Secret")
    for pod in pods(documents):
        environment = {one["name"]: one for one in pod["containers"][0]["env"]}
        assert len(environment) == len(pod["containers"][0]["env"])
        assert {name for name in environment if name.startswith("HITCHPOST_")} <= tools.SETTINGS
        for secret in ("HITCHPOST_DATABASE_URL", "HITCHPOST_ENCRYPTION_KEYS"):
            assert environment[secret]["valueFrom"]["secretKeyRef"]["name"] == "hitchpost"


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_a_pod_has_time_to_drain(values: Path) -> None:
    for role, deployment in of_kind(rendered("--values", str(values)), "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        environment = {one["name"]: one.get("value") for one in container["env"]}
        assert container["args"] == ["serve", "--role", role]
        before = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        # What the supervisor adds to what its processes have.
        needed = before + int(environment["HITCHPOST_DRAIN_TIMEOUT"]) + 5
        assert pod["terminationGracePeriodSeconds"] > needed


def test_the_database_is_migrated_before() -> None:
    job = of_kind(rendered(*LEAST), "Job")["migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["migrate"]
    # Neither account nor policy of the release is there yet.
    assert "serviceAccountName" not in pod


def test_health_is_asked_as_the_role_answers() -> None:
    clear = of_kind(rendered(*LEAST), "Deployment")
    probes = {role: one["spec"]["template"]["spec"]["containers"][0] for role, one in clear.items()}
    assert probes["grpc"]["readinessProbe"]["grpc"] == {"port": 50051}
    assert probes["web"]["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert probes["worker"]["readinessProbe"]["httpGet"]["path"] == "/healthz"
    # The database's absence must not restart anything.
    assert all("tcpSocket" in container["livenessProbe"] for container in probes.values())
    tls = of_kind(rendered(*LEAST, "--set", "tls.existingSecret=certificate"), "Deployment")["grpc"]
    [container] = tls["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["exec"]["command"] == ["hitchpost", "probe", "--role", "grpc"]
    assert any(mount["mountPath"] == "/etc/hitchpost/tls" for mount in container["volumeMounts"])


def test_budgets_autoscalers_and_policies_are_about_their_role() -> None:
    documents = rendered("--values", str(CHART / "ci" / "everything.yaml"))
    deployments = of_kind(documents, "Deployment")
    labels = {role: one["spec"]["template"]["metadata"]["labels"] for role, one in deployments.items()}
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        found = of_kind(documents, kind)
        assert set(found) == ROLES
        for role, document in found.items():
            spec = document["spec"]
            selected = spec.get("selector", spec.get("podSelector"))["matchLabels"]
            assert selected.items() <= labels[role].items()
            assert all(not selected.items() <= labels[other].items() for other in ROLES - {role})
    for role, scaler in of_kind(documents, "HorizontalPodAutoscaler").items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployments[role]["metadata"]["name"]
        assert "replicas" not in deployments[role]["spec"]
    [ingress] = [one for one in documents if one["kind"] == "Ingress"]
    assert ingress["spec"]["rules"][0]["host"] == "hitchpost.example.com"


def test_metrics_are_where_the_image_has_them_and_for_those_who_may() -> None:
    documents = rendered("--values", str(CHART / "ci" / "everything.yaml"))
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    [address] = re.findall(r"HITCHPOST_METRICS_ADDRESS=(\S+)", dockerfile)
    for deployment in of_kind(documents, "Deployment").values():
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["metrics"] == int(address.rpartition(":")[2])
    for policy in of_kind(documents, "NetworkPolicy").values():
        [rule] = [rule for rule in policy["spec"]["ingress"] if {"port": "metrics"} in rule["ports"]]
        assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {
            "kubernetes.io/metadata.name": "monitoring"
        }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "existingSecret: the name of a Secret"),
        (("--set", "existingSecret=s"), "publicUrl: the service web as browsers reach it"),
        ((*LEAST, "--set", "grpc.replica=3"), "replica"),
        ((*LEAST, "--set", "publicUrl=hitchpost.example.com"), "publicUrl"),
        ((*LEAST, "--set", "settings.HITCHPOST_DATABASE_URL=postgresql://u:p@h/d"), "HITCHPOST_DATABASE_URL"),
        ((*LEAST, "--set", "settings.LOG_LEVEL=DEBUG"), "LOG_LEVEL"),
    ],
)
def test_wrong_values_are_refused(arguments: tuple[str, ...], said: str) -> None:
    refused = tools.attempt("helm", "template", "release", str(CHART), *arguments)
    assert refused.returncode == 1
    assert said in refused.stderr
