"""A fake platform for your own tests: no installation, no network, and every error at will.

    from omnilab.client.testing import FakeOmniLab

    def test_my_page(monkeypatch):
        fake = FakeOmniLab()
        fake.add_booking("contact-1", booking_id="bkg_1")
        app = MyApp(client=fake.client())             # an OmniLab that calls the fake
        fake.answer_next("slot_full")                 # the next call is refused so
        fake.lose_next(after=True)                    # the next one is carried out, and its answer is lost
        ...
        assert fake.calls[-1].code == ""

Where your program makes its client from the environment, let the fake serve on this machine:

    with fake.serve() as environ:
        subprocess.run(["my-program"], env=os.environ | environ)

It answers as the platform does where that matters to callers: tokens, epochs of revocation, lists, cancels,
idempotency keys, error codes. A test runs the same expectations on it and on the real platform.
"""

from omnilab.client.testing.fake import FakeOmniLab, SeenCall

__all__ = ["FakeOmniLab", "SeenCall"]
