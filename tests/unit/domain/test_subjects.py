"""What a subject is."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.subjects import subject_problem


class SubjectProblemTests(SynchronousTestCase):
    def test_good(self) -> None:
        """1 to 512 bytes of UTF-8."""
        for subject in (
            "u",
            "user:42",
            "*",
            "channel:news.über",
            " ",
            "a b",
            "x" * 512,
            "é" * 256,
            "😀" * 128,
        ):
            self.assertIsNone(subject_problem(subject), subject)

    def test_size(self) -> None:
        """Bytes count, not characters."""
        self.assertEqual(subject_problem(""), "must not be empty")
        for subject in ("x" * 513, "é" * 257, "😀" * 129):
            self.assertEqual(subject_problem(subject), "must be at most 512 bytes long")

    def test_control_characters(self) -> None:
        """C0, DEL and C1 are not allowed, wherever they stand; their neighbours are."""
        for code in (0x00, 0x09, 0x0A, 0x0D, 0x1F, 0x7F, 0x80, 0x85, 0x9F):
            for subject in (chr(code), f"a{chr(code)}", f"{chr(code)}a", f"é{chr(code)}a"):
                self.assertEqual(subject_problem(subject), "must not hold control characters", hex(code))
        for code in (0x20, 0x7E, 0xA0):
            self.assertIsNone(subject_problem(chr(code)))

    def test_no_unicode(self) -> None:
        """A lone surrogate has no UTF-8."""
        self.assertEqual(subject_problem("user:\ud800"), "must be valid Unicode")
