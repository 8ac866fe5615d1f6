"""A Streamlit application that signs people in with the encrypted envelope of 2025, in the way in
which the playgrounds of that time did; written for these tests, and knows nothing of Vestibule.

    API_URL=http://127.0.0.1:8000 ENVELOPE_KEY=… ENVELOPE_DERIVATION=raw|sha256|pbkdf2 \\
        streamlit run tests/counterparts/envelope_app.py --server.headless true

It reads `?encrypted_token=`, asks the API whose key is in it, and keeps the sign-in in the session
of its WebSocket alone: a page that is loaded anew has forgotten it. ME_PATH, LOGOUT_PATH and MODEL
are for the other versions of the API: /v1/me/info, /v1/auth/logout and a model of the stub by default.
"""

import base64
import hashlib
import json
import os

import requests
import streamlit as st
from cryptography.fernet import Fernet, InvalidToken

API_URL = os.environ["API_URL"].rstrip("/")
ME_PATH = os.environ.get("ME_PATH", "/v1/me/info")
LOGOUT_PATH = os.environ.get("LOGOUT_PATH", "/v1/auth/logout")
MODEL = os.environ.get("MODEL", "stub-chat")
ENVELOPES_LAST = 300
WITHIN = 30


def fernet():
    text = os.environ["ENVELOPE_KEY"]
    derivation = os.environ.get("ENVELOPE_DERIVATION", "pbkdf2")
    if derivation == "pbkdf2":
        bits = hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", 310_000)
    elif derivation == "sha256" or text == "changeme":
        bits = hashlib.sha256(text.encode()).digest()
    else:
        return Fernet(text)
    return Fernet(base64.urlsafe_b64encode(bits))


@st.cache_resource
def opener():
    """The key is derived once for all sessions."""
    return fernet()


def call(method, path, key, **more):
    return requests.request(method, API_URL + path, headers={"Authorization": f"Bearer {key}"}, timeout=WITHIN, **more)


def detail(answer):
    try:
        return answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.text or answer.reason


def sign_in(envelope):
    """Says why not; nothing when it worked."""
    try:
        clear = opener().decrypt(base64.urlsafe_b64decode(envelope), ttl=ENVELOPES_LAST)
    except (InvalidToken, ValueError):
        return "The envelope cannot be opened."
    contents = json.loads(clear)
    key = contents["app_token"]
    answer = call("GET", ME_PATH, key)
    if answer.status_code != 200:
        return f"The API says {answer.status_code}: {detail(answer)}"
    # Without this method on anything else than a text, as the playgrounds do: it must be one.
    proconnect_token = contents["proconnect_token"].strip()
    st.session_state.login = {"key": key, "proconnect_token": proconnect_token, "person": answer.json()}
    st.session_state.messages = []
    return None


def sign_out():
    login = st.session_state.pop("login")
    body = {"proconnect_token": login["proconnect_token"]} if login["proconnect_token"] else {}
    answer = call("POST", LOGOUT_PATH, login["key"], json=body)
    says = answer.json().get("message") if answer.status_code == 200 else detail(answer)
    st.session_state.farewell = f"{answer.status_code}: {says}"


def words(key, messages):
    """The text of a streamed answer, as it comes."""
    body = {"model": MODEL, "stream": True, "messages": messages}
    with call("POST", "/v1/chat/completions", key, json=body, stream=True) as answer:
        if answer.status_code != 200:
            yield f"The API says {answer.status_code}: {detail(answer)}"
            return
        # Event streams are UTF-8, whatever their type says of it.
        for line in answer.iter_lines():
            text = line.decode()
            if not text.startswith("data:") or text.removeprefix("data:").strip() == "[DONE]":
                continue
            for choice in json.loads(text.removeprefix("data:")).get("choices", []):
                yield choice["delta"].get("content") or ""


def chat(login):
    for message in st.session_state.messages:
        st.chat_message(message["role"]).write(message["content"])
    asked = st.chat_input("Message")
    if not asked:
        return
    st.session_state.messages.append({"role": "user", "content": asked})
    st.chat_message("user").write(asked)
    with st.chat_message("assistant"):
        said = st.write_stream(words(login["key"], st.session_state.messages))
    st.session_state.messages.append({"role": "assistant", "content": said})


st.title("Playground")
if "login" not in st.session_state and "farewell" not in st.session_state and "encrypted_token" in st.query_params:
    problem = sign_in(st.query_params["encrypted_token"])
    if problem:
        st.error(problem)

login = st.session_state.get("login")
if login:
    person = login["person"]
    st.write("Signed in:", person.get("name") or person.get("email") or "nameless")
    st.button("Logout", on_click=sign_out)
    chat(login)
else:
    if "farewell" in st.session_state:
        st.write("Signed out:", st.session_state.farewell)
    st.write("Not signed in")
