"""traghetto-gateway in front of the real server: its own API, limits, and what a client that leaves does."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepl
import pytest
from deep_translator import LibreTranslator
from libretranslatepy import LibreTranslateAPI
from openapi_spec_validator import validate

from server.gateway.serving import _listen
from tests.running_gateway import RunningGateway, gateway_command, run_gateway
from tests.running_server import LONG_TEXT, PATIENCE_SECONDS, RunningServer, make_request

CAT, GATTO = "The cat is on the table.", "Il gatto è sul tavolo."
FORM = "application/x-www-form-urlencoded"
BODY: dict[str, Any] = {"sourceLanguage": "en", "targetLanguage": "it", "texts": [CAT]}
LONG = BODY | {"texts": [LONG_TEXT], "options": {"beamSize": 16, "maxTargetTokens": 256}}


@pytest.fixture(scope="module")
def gateway(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    log = tmp_path_factory.mktemp("gateway") / "log"
    with run_gateway(
        log, server, "--max-body-mib=1", "--cors-origin=https://app.example", "--file-seconds=600"
    ) as running:
        yield running


@pytest.mark.parametrize(
    "spelling", [("sourceLanguage", "targetLanguage"), ("source_language", "target_language")]
)
def test_a_translation_in_json(gateway: RunningGateway, stub: Any, spelling: tuple[str, str]) -> None:
    source, target = spelling
    answer = gateway.ask("/v1/translate", {source: "en", target: "it", "texts": [CAT]})
    (item,) = answer.json["items"]
    by_grpc = stub.Translate(make_request(CAT)).items[0].translation
    assert item["translation"]["text"] == by_grpc.text == GATTO
    assert item["translation"]["hypotheses"][0]["logProb"] == pytest.approx(by_grpc.hypotheses[0].log_prob)
    assert item["translation"]["stopReason"] == "STOP_REASON_END_OF_SENTENCE"


def test_every_method_of_the_contract_is_there(gateway: RunningGateway) -> None:
    (model,) = gateway.ask("/v1/models").json["models"]
    assert model["name"] == "en-it"
    (pair,) = gateway.ask("/v1/languagePairs?sourceLanguage=it").json["pairs"]
    assert (pair["sourceLanguage"], pair["targetLanguage"]) == ("it", "en")
    (item,) = gateway.ask("/v1/score", BODY | {"translations": [GATTO]}).json["items"]
    assert item["score"]["logProb"] < 0


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ({**BODY, "options": {"beamSize": 99}}, 400, "options.beam_size: is 99, must be at least 1"),
        ({**BODY, "targetLanguage": "xx"}, 404, "xx"),
        ({**BODY, "sourceLange": "en"}, 400, 'no field named "sourceLange"'),
        ({**BODY, "texts": "one"}, 400, "texts"),
        ({**BODY, "texts": ["\ud800"]}, 400, "Unpaired surrogate"),
        (b"{", 400, "no TranslateRequest in JSON"),
        (b"\xff", 400, "no UTF-8: byte 0"),
        (b"[" * 100_000, 400, "no TranslateRequest in JSON"),
        (b" " * ((1 << 20) + 1), 413, "more than 1048576 bytes"),
    ],
)
def test_what_is_wrong_is_told_as_status(gateway: RunningGateway, body: object, code: int, told: str) -> None:
    answer = gateway.ask("/v1/translate", body)
    assert answer.code == code
    assert told in answer.json["message"]
    assert answer.json["code"] > 0


def test_a_violation_keeps_its_details(gateway: RunningGateway) -> None:
    answer = gateway.ask("/v1/translate", {**BODY, "options": {"beamSize": 99}, "texts": []})
    (detail,) = answer.json["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert {one["field"] for one in detail["fieldViolations"]} == {"options.beam_size", "texts"}


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("/v1/translate", "text/plain", 415),
        ("/v1/translate", "application/json; charset=latin-1", 415),
        ("/v1/nothing", "application/json", 404),
        ("/v1/models", "application/json", 405),
    ],
)
def test_what_is_no_request_at_all(gateway: RunningGateway, path: str, kind: str, code: int) -> None:
    assert gateway.ask(path, b"{}", kind=kind).code == code


def test_items_of_a_stream_come_as_they_end_and_all_of_them(gateway: RunningGateway) -> None:
    texts = ["Good morning.", CAT, "I am here."]
    answer = gateway.ask("/v1/translate:stream", BODY | {"texts": texts})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event.split("\n") for event in answer.body.decode().strip().split("\n\n")]
    told = [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]
    assert told.pop() == ("end", {"count": 3})
    assert {name for name, _ in told} == {"item"}
    by_index = {data["index"]: data["items"][0]["translation"]["text"] for _, data in told}
    assert by_index.keys() == {0, 1, 2}
    assert by_index[1] == GATTO


def test_a_stream_that_fails_says_why(gateway: RunningGateway) -> None:
    answer = gateway.ask("/v1/translate:stream", BODY | {"targetLanguage": "xx"})
    name, data = answer.body.decode().strip().split("\n")
    assert (name, json.loads(data.removeprefix("data: "))["code"]) == ("event: error", 5)


def test_the_description_is_valid_and_names_what_is_served(gateway: RunningGateway) -> None:
    described = gateway.ask("/openapi.json").json
    validate(described)
    assert described["paths"].keys() == {
        "/v1/translate",
        "/v1/translate:stream",
        "/v1/score",
        "/v1/models",
        "/v1/languagePairs",
        "/v1/glossaries",
    }


def test_the_page_may_run_nothing_of_others(gateway: RunningGateway) -> None:
    page = gateway.ask("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert gateway.ask("/", if_none_match=page.headers["etag"]).code == 304


def test_pages_of_an_origin_that_is_named_may_call_it_and_no_others(gateway: RunningGateway) -> None:
    named = gateway.ask("/v1/models", origin="https://app.example")
    assert named.headers["access-control-allow-origin"] == "https://app.example"
    assert (
        "access-control-allow-origin" not in gateway.ask("/v1/models", origin="https://other.example").headers
    )


@pytest.mark.parametrize("path", ["/v1/translate", "/v1/translate:stream"])
def test_a_client_that_leaves_is_cancelled_in_the_engine(gateway: RunningGateway, path: str) -> None:
    connection = http.client.HTTPConnection(gateway.address, timeout=PATIENCE_SECONDS)
    connection.request("POST", path, json.dumps(LONG), {"content-type": "application/json"})
    gateway.server.wait_until_running(1)
    before = gateway.server.scrape()['translator_finished_total{reason="cancelled"}']
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    gateway.server.wait_until_running(0)
    gateway.server.wait_for('translator_finished_total{reason="cancelled"}', before + 1)


def test_an_answer_does_not_wait_for_its_head_to_be_confirmed() -> None:
    with _listen("127.0.0.1:0") as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_requests_are_counted_by_route_and_code(gateway: RunningGateway) -> None:
    series = 'gateway_requests_total{code="404",route="none"}'
    before = gateway.scrape().get(series, 0)
    gateway.ask("/such/a/path")
    assert gateway.scrape()[series] == before + 1


def test_libretranslatepy(gateway: RunningGateway) -> None:
    client = LibreTranslateAPI(gateway.url)
    assert client.translate(CAT, "en", "it") == GATTO
    assert client.languages()[0] == {"code": "en", "name": "English", "targets": ["it"]}
    assert client.detect("Dove abiti con la tua famiglia?")[0]["language"] == "it"


def test_deep_translator(gateway: RunningGateway) -> None:
    client = LibreTranslator("en", "it", api_key="none", custom_url=f"{gateway.url}/")
    assert client.translate(CAT) == GATTO


def test_libretranslate_in_json_with_all_that_it_takes(gateway: RunningGateway) -> None:
    texts = ["Good morning.", CAT]
    body = {"q": texts, "source": "auto", "target": "it", "format": "text", "alternatives": 2, "api_key": ""}
    answer = gateway.ask("/translate", body).json
    assert answer["translatedText"][1] == GATTO
    assert answer["detectedLanguage"][1]["language"] == "en"
    assert 1 <= len(answer["alternatives"][1]) <= 2
    html = gateway.ask("/translate", {"q": f"<p>{CAT}</p>", "source": "en", "target": "it", "format": "html"})
    assert html.json == {"translatedText": f"<p>{GATTO}</p>"}


@pytest.mark.parametrize(
    ("path", "body", "kind", "code", "told"),
    [
        ("/translate", b"q=Hi&source=en", FORM, 400, "missing target parameter"),
        ("/translate", b"source=en&target=it", FORM, 400, "missing q parameter"),
        ("/translate", b"q=Hi&source=en&target=xx", FORM, 400, "xx"),
        ("/translate", b"q=Hi&source=en&target=it&format=pdf", FORM, 400, "'pdf', must be one of text, html"),
        ("/translate", b'{"q": [1], "source": "en", "target": "it"}', "application/json", 400, "q: must be"),
        ("/translate", b"q", "text/plain", 415, "text/plain"),
        ("/suggest", b"q=a&s=b", FORM, 403, "disabled"),
        ("/translate_file", b"source=en&target=it", FORM, 400, "missing file parameter"),
    ],
)
def test_libretranslate_refuses_in_its_own_form(
    gateway: RunningGateway, path: str, body: bytes, kind: str, code: int, told: str
) -> None:
    answer = gateway.ask(path, body, kind=kind)
    assert (answer.code, answer.json.keys()) == (code, {"error"})
    assert told in answer.json["error"]


def multipart(name: str, content: str) -> tuple[bytes, str]:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}'
        for k, v in (("source", "en"), ("target", "it"))
    ]
    parts.append(f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{content}')
    return "\r\n".join([*parts, "--x--\r\n"]).encode(), "multipart/form-data; boundary=x"


def test_libretranslate_translates_a_file(gateway: RunningGateway) -> None:
    body, kind = multipart("page.html", f"<p>{CAT}</p>")
    place = gateway.ask("/translate_file", body, kind=kind).json["translatedFileUrl"]
    assert place.startswith(gateway.url)
    assert gateway.ask(place.removeprefix(gateway.url)).body.decode() == f"<p>{GATTO}</p>"


@pytest.mark.parametrize("name", ["../../page.exe", "page"])
def test_libretranslate_refuses_a_file_of_no_known_kind_without_telling_where_it_was(
    gateway: RunningGateway, name: str
) -> None:
    body, kind = multipart(name, "Hi")
    answer = gateway.ask("/translate_file", body, kind=kind)
    assert answer.code == 400
    assert "known are .docx" in answer.json["error"]
    assert "/" not in answer.json["error"].split(" ends in ")[0]


def test_libretranslate_tells_its_settings(gateway: RunningGateway) -> None:
    settings = gateway.ask("/frontend/settings").json
    assert settings["suggestions"] is False
    assert ".docx" in settings["supportedFilesFormat"]
    assert gateway.ask("/health").json == {"status": "ok"}


@pytest.fixture(scope="module")
def deepl_client(gateway: RunningGateway) -> Iterator[deepl.DeepLClient]:
    deepl.http_client.max_network_retries = 0
    client = deepl.DeepLClient("a-key", server_url=gateway.url)
    yield client
    client.close()  # type: ignore[no-untyped-call]


def test_deepl_translates_texts(deepl_client: deepl.DeepLClient) -> None:
    results = deepl_client.translate_text(["Good morning.", CAT], target_lang="IT")
    assert isinstance(results, list)
    first, second = results
    assert (second.text, second.detected_source_lang, second.billed_characters) == (GATTO, "EN", len(CAT))
    assert first.text
    named = deepl_client.translate_text(CAT, source_lang="EN", target_lang="IT", formality="prefer_more")
    assert str(named) == GATTO


def test_deepl_keeps_tags_and_what_is_in_those_to_be_ignored(deepl_client: deepl.DeepLClient) -> None:
    text = "<p>The cat is <x>on the table</x>.</p><y>Good morning.</y>"
    result = deepl_client.translate_text(
        text,
        source_lang="EN",
        target_lang="IT",
        tag_handling="xml",
        ignore_tags=["x"],
        split_sentences="nonewlines",
    )
    assert "<x>on the table</x>" in str(result)
    assert "translate" not in str(result)
    assert "Good morning" not in str(result)


def test_deepl_lists_languages_and_usage(deepl_client: deepl.DeepLClient) -> None:
    assert [language.code.lower() for language in deepl_client.get_source_languages()] == ["en", "it"]
    assert not deepl_client.get_target_languages()[0].supports_formality
    assert not deepl_client.get_usage().any_limit_reached


def test_deepl_makes_uses_and_deletes_a_glossary(
    deepl_client: deepl.DeepLClient, gateway: RunningGateway
) -> None:
    entries = {"cat": "micio", "dog": "cane"}
    made = deepl_client.create_glossary("pets", "EN", "IT", entries)
    assert [one.glossary_id for one in deepl_client.list_glossaries()] == [made.glossary_id]
    assert (deepl_client.get_glossary(made.glossary_id).entry_count, made.ready) == (2, True)
    assert deepl_client.get_glossary_entries(made) == entries
    assert str(deepl_client.translate_text_with_glossary(CAT, made)) == "Il micio è sul tavolo."
    assert gateway.ask(f"/v2/glossaries/{made.glossary_id}", authorization="Bearer another").code == 404
    with pytest.raises(deepl.DeepLException, match="is from en to it, must be from it to en"):
        deepl_client.translate_text(CAT, source_lang="IT", target_lang="EN-GB", glossary=made.glossary_id)
    with pytest.raises(deepl.DeepLException, match="has 1025 terms, must have 1 to 1024"):
        deepl_client.create_glossary("large", "EN", "IT", {f"cat{i}": "micio" for i in range(1025)})
    deepl_client.delete_glossary(made)
    with pytest.raises(deepl.GlossaryNotFoundException):
        deepl_client.get_glossary(made.glossary_id)
    assert len(deepl_client.get_glossary_languages()) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"formality": "more"}, "formality"),
        ({"glossary": "11111111-2222"}, "lossary not found"),
        ({"custom_instructions": ["Be nice"]}, "custom_instructions"),
        ({"splitting_tags": ["a"], "tag_handling": "xml"}, "splitting_tags"),
        ({"split_sentences": "nonewlines"}, "nonewlines"),
    ],
)
def test_deepl_refuses_what_there_is_not(
    deepl_client: deepl.DeepLClient, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(deepl.DeepLException, match=told):
        deepl_client.translate_text(CAT, source_lang="EN", target_lang="IT", **options)


def test_deepl_refuses_a_language_that_is_not_served(deepl_client: deepl.DeepLClient) -> None:
    with pytest.raises(deepl.DeepLException, match=r"Bad request.*en"):
        deepl_client.translate_text(CAT, source_lang="EN", target_lang="DE")


def test_deepl_takes_a_form(gateway: RunningGateway) -> None:
    answer = gateway.ask(
        "/v2/translate", b"text=Good+morning.&text=The+cat+is+on+the+table.&target_lang=IT", kind=FORM
    )
    assert answer.json["translations"][1] == {"detected_source_language": "EN", "text": GATTO}


def test_deepl_translates_a_document(
    deepl_client: deepl.DeepLClient, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepl.translator.time.sleep", lambda _: gateway.server.settled())
    handle = deepl_client.translate_document_upload(
        f"<p>{CAT}</p>".encode(), filename="page.html", source_lang="EN", target_lang="IT"
    )
    status = deepl_client.translate_document_wait_until_done(handle)
    assert status.done
    content = deepl_client.translate_document_download(handle)
    assert content is not None
    assert content.content.decode() == f"<p>{GATTO}</p>"
    with pytest.raises(deepl.DeepLException, match="no such document"):
        deepl_client.translate_document_get_status(deepl.DocumentHandle(handle.document_id, "another"))


def test_a_gateway_without_a_server_lives_and_is_not_ready(server: RunningServer, tmp_path: Path) -> None:
    with run_gateway(tmp_path / "log", server, "--server=127.0.0.1:1") as lonely:
        assert lonely.ask("/livez").code == 200
        assert lonely.ask("/health").code == 503
        answer = lonely.ask("/v1/models")
        assert (answer.code, answer.json["code"]) == (503, 14)


def test_requests_under_way_end_before_the_gateway_does(server: RunningServer, tmp_path: Path) -> None:
    with run_gateway(tmp_path / "log", server) as stopping:
        connection = http.client.HTTPConnection(stopping.address, timeout=PATIENCE_SECONDS)
        connection.request("POST", "/v1/translate", json.dumps(LONG), {"content-type": "application/json"})
        server.wait_until_running(1)
        stopping.process.send_signal(signal.SIGTERM)
        assert connection.getresponse().status == 200
        connection.close()
        assert stopping.process.wait(PATIENCE_SECONDS) == 0


def test_it_stops_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    command = " ".join(gateway_command("--listen=127.0.0.1:0", "--stop-with", "$$"))
    with subprocess.Popen(
        ["/bin/sh", "-c", f"{command} & exec sleep 600"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("traghetto-gateway ready: ")
        parent.kill()
        assert parent.stdout.read() == ""  # which ends when nobody can write to it any more


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen=nowhere"], "'nowhere' is no HOST:PORT"),
        (["--max-body-mib=0", "--timeout-seconds=nan"], "--max-body-mib is 0, must be from 1 to 1024"),
        (["--cors-origin=app.example"], "'app.example', must be * or SCHEME://HOST"),
        (["--tls-ca=/nowhere.pem"], "/nowhere.pem: No such file"),
    ],
)
def test_what_makes_no_sense_ends_the_gateway_with_a_line(arguments: list[str], told: str) -> None:
    ended = subprocess.run(
        gateway_command(*arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
