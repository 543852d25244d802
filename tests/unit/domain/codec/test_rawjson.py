"""Where the members of an object stand in its text."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.codec.rawjson import elements, members


class MembersTests(SynchronousTestCase):
    def spans(self, text: str, start: int = 0) -> dict[str, str]:
        return {name: text[begin:end] for name, (begin, end) in members(text, start).items()}

    def test_every_kind_of_value(self) -> None:
        """A span is the value, without the blanks around it."""
        self.assertEqual(
            self.spans(
                ' { "a" : 1.10,\n"b":"x, \\"}", "c":{ "d":[1, 2] },"e":[ ],"f":true,"g":null,"h":-0,"i":{}} '
            ),
            {
                "a": "1.10",
                "b": '"x, \\"}"',
                "c": '{ "d":[1, 2] }',
                "e": "[ ]",
                "f": "true",
                "g": "null",
                "h": "-0",
                "i": "{}",
            },
        )

    def test_empty(self) -> None:
        """An empty object has no members."""
        self.assertEqual(self.spans("{}"), {})
        self.assertEqual(self.spans(" {\t\n\r } "), {})

    def test_repeated(self) -> None:
        """Of a repeated name the last value counts, as for every parser."""
        self.assertEqual(self.spans('{"a":1,"b":2,"a":[3]}'), {"a": "[3]", "b": "2"})

    def test_escaped_names(self) -> None:
        """Names are compared decoded."""
        self.assertEqual(self.spans('{"p\\u0061yload":1,"\\"":2,"":3}'), {"payload": "1", '"': "2", "": "3"})

    def test_inside(self) -> None:
        """An object may begin anywhere."""
        self.assertEqual(self.spans('[{"x":0},{"a":1}]', 9), {"a": "1"})

    def test_outside_ascii(self) -> None:
        """Spans count characters."""
        self.assertEqual(self.spans('{"😀":"é\\ud83d\\ude00","b":2}'), {"😀": '"é\\ud83d\\ude00"', "b": "2"})


class ElementsTests(SynchronousTestCase):
    def test_begins(self) -> None:
        """Each element's first character."""
        text = '{"l":[ 1 ,[2,3],\n{"a":[4]} , "," ]}'
        self.assertEqual([text[at] for at in elements(text, 5)], ["1", "[", "{", '"'])

    def test_empty(self) -> None:
        """An empty array has no elements."""
        self.assertEqual(elements("[]", 0), [])
        self.assertEqual(elements("[ \n ]", 0), [])
