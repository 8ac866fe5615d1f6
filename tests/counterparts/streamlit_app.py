"""An ordinary Streamlit application, which knows nothing of what stands in front of it.

    streamlit run tests/counterparts/streamlit_app.py --server.headless true
"""

import hashlib
from urllib.parse import unquote

import streamlit as st

st.title("Counterpart")

# Headers of the WebSocket handshake: the only ones that a Streamlit application can read.
headers = st.context.headers
st.write("Email:", headers.get("X-Auth-Request-Email", "nobody"))
st.write("Name:", unquote(headers.get("X-Auth-Request-Preferred-Username", "nobody")))
st.write("Host:", headers.get("Host", "none"))
st.write("Cookies:", ", ".join(sorted(st.context.cookies.to_dict())) or "none")

if "count" not in st.session_state:
    st.session_state.count = 0
if st.button("Count"):
    st.session_state.count += 1
st.write(f"Counted {st.session_state.count}")

uploaded = st.file_uploader("File")
if uploaded is not None:
    content = uploaded.getvalue()
    st.write(f"Received {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
