"""A Hugging Face Hub on loopback, for tests that use the real client.

In a test the fixture `hub` gives it, empty, with an empty cache and three accounts: me (of an organisation, too), you, and
reader, whose token may not write.

    def test_something(hub):
        commit = hub.upload("you/model", {"config.json": b"{}"}, private=True)      # straight in; a folder does, too
        AutoConfig.from_pretrained("you/model", token=hub.token("you"))              # the real client asks
        hub.files("you/model", commit); hub.commits("you/model")                     # what is there
        hub.downloaded("you/model", "*.safetensors"); hub.requests                   # bytes, and each request
        hub.cut("GET /.*safetensors", after=100)                                     # the next one breaks off
        with hub.down(): ...                                                         # nobody answers

`start` runs one for the whole session and leads the client to it by the environment, so it is imported before anything that
imports huggingface_hub. `hub` is the server as tests see it, `store` what it holds, `calls` how an address is found, `routes`
and `commits` what addresses answer, `cards` what it reads in a README.md, `wire` HTTP itself.

Files of LFS are kept by a second port, the storage, as the real Hub keeps them: tokens have no business there.
"""

from hub_server.hub import Hub

__all__ = ["Hub"]
