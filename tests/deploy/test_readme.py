"""What deploy/kubernetes/README.md tells to write works as it stands there."""

from __future__ import annotations

import re
import textwrap
from hashlib import sha256
from pathlib import Path

import yaml

from tests.deploy.manifests import COMPONENTS, FOLDER, OVERLAYS, combine, load
from tests.deploy.test_image_references import PINNED
from tests.deploy.test_pods import config_of

README = (FOLDER / "README.md").read_text()


def examples() -> list[str]:
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    digest = sha256(b"example").hexdigest()
    return [textwrap.dedent(block).replace("DIGEST", digest) for block in blocks]


def test_the_example_renders_with_every_image_pinned_and_its_settings(tmp_path: Path) -> None:
    (tmp_path / "traghetto").symlink_to(FOLDER.parents[1])
    (tmp_path / "kustomization.yaml").write_text(examples()[0])
    manifests = load(tmp_path)
    assert len(manifests.images) == 2
    assert all(PINNED.fullmatch(image) for image in manifests.images)
    assert config_of(manifests).artifacts == (Path("/models/en-it"),)
    assert manifests.all("PodMonitor")


def test_the_example_of_a_download_names_its_archive(tmp_path: Path) -> None:
    fields = yaml.safe_load(examples()[1])
    manifests = load(combine(tmp_path, ["base"], ["model-download"], **fields))
    (found,) = (
        document for document in manifests.all("ConfigMap") if "MODEL_ARCHIVE_URL" in document["data"]
    )
    assert found["data"]["MODEL_ARCHIVE_URL"].startswith("https://")
    assert re.fullmatch("[0-9a-f]{64}", found["data"]["MODEL_ARCHIVE_SHA256"])
    (source,) = manifests.pod["initContainers"][0]["envFrom"]
    assert source["configMapRef"]["name"] == found["metadata"]["name"]


def test_the_tables_name_every_overlay_and_component() -> None:
    rows = set(re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE))
    used = "\n".join(path.read_text() for path in FOLDER.glob("overlays/*/kustomization.yaml"))
    unused = {name for name in COMPONENTS if f"components/{name}\n" not in used}
    assert rows == set(OVERLAYS) | unused
