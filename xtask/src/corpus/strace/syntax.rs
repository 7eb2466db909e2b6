//! The syntax in which strace prints the arguments of a call.

/// Deepest nesting that is followed. Real logs stay below 6.
const DEPTH_LIMIT: usize = 32;

/// One argument, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A string, without its escapes. A cut string (`"…"...`) has the bytes that are shown.
    Text(Vec<u8>),
    /// `[a, b]`.
    List(Vec<Self>),
    /// `{name=a, name=b}`; a part without a name has an empty one.
    Struct(Vec<(String, Self)>),
    /// Anything else: a number, flags, `NULL`, an address.
    Word(String),
}

impl Value {
    /// The part of a struct with this name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(parts) => parts.iter().find(|(key, _)| key == name).map(|(_, part)| part),
            _ => None,
        }
    }

    /// The elements of a list; nothing else has any.
    pub(super) fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The number at the front of a word, such as 9 in `9<socket:[77]>`.
    pub(super) fn number(&self) -> Option<i64> {
        let word = self.word()?;
        let end = word
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_digit() || *at == 0 && *c == '-'))
            .map_or(word.len(), |(at, _)| at);
        word[..end].parse().ok()
    }

    /// Whether a word of flags has this one.
    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.word().is_some_and(|word| word.split('|').any(|one| one.trim() == flag))
    }
}

/// Reads the arguments after `name(` up to the closing parenthesis; returns them and what follows.
pub(super) fn arguments(text: &str) -> Result<(Vec<Value>, &str), String> {
    let mut cursor = Cursor { text, at: 0, depth: 0 };
    let values = cursor.sequence(b')')?;
    Ok((values, &text[cursor.at..]))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, what: &str) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Values between commas up to `end`, which is taken.
    fn sequence(&mut self, end: u8) -> Result<Vec<Value>, String> {
        let mut values = Vec::new();
        self.parts(end, |cursor| {
            values.push(cursor.value()?);
            Ok(())
        })?;
        Ok(values)
    }

    fn parts(
        &mut self,
        end: u8,
        mut part: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(format!("brackets are nested more than {DEPTH_LIMIT} deep"));
        }
        loop {
            self.skip_spaces();
            match self.peek() {
                Some(byte) if byte == end => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                Some(b',') => self.at += 1,
                Some(byte @ (b')' | b']' | b'}')) => {
                    return Err(format!("`{}` where `{}` belongs", char::from(byte), end as char));
                }
                Some(_) => part(self)?,
                None => return Err(format!("the line ends before `{}`", end as char)),
            }
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        let mut value = self.one_value()?;
        self.skip_spaces();
        // `before => after`: what the kernel left there counts.
        while self.eat("=>") {
            self.skip_spaces();
            value = self.one_value()?;
            self.skip_spaces();
        }
        Ok(value)
    }

    fn one_value(&mut self) -> Result<Value, String> {
        match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                self.eat("...");
                Ok(Value::Text(text))
            }
            Some(b'[') => {
                self.at += 1;
                self.sequence(b']').map(Value::List)
            }
            Some(b'{') => {
                self.at += 1;
                self.structure()
            }
            _ => self.word(),
        }
    }

    fn structure(&mut self) -> Result<Value, String> {
        let mut parts = Vec::new();
        self.parts(b'}', |cursor| {
            let name = cursor.name();
            parts.push((name, cursor.value()?));
            Ok(())
        })?;
        Ok(Value::Struct(parts))
    }

    /// Takes `name=` if it is there.
    fn name(&mut self) -> String {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|end| *end > 0 && rest[*end..].starts_with('='));
        let name = end.map(|end| rest[..end].to_owned()).unwrap_or_default();
        if !name.is_empty() {
            self.at += name.len() + 1;
        }
        name
    }

    /// Everything up to a comma or a closing bracket that is not inside the word itself, as in
    /// `9<UNIX-STREAM:[7->8]>`, `htons(53)` or `0x7f /* 3 vars */`.
    fn word(&mut self) -> Result<Value, String> {
        let start = self.at;
        let mut parentheses = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b',' | b']' | b'}' | b')' if parentheses == 0 => break,
                b'(' => parentheses += 1,
                b')' => parentheses -= 1,
                b'<' => {
                    self.annotation()?;
                    continue;
                }
                b'/' if self.rest().starts_with("/*") => {
                    let end = self.rest().find("*/").ok_or("a comment without its `*/`")?;
                    self.at += end + 2;
                    continue;
                }
                b'"' => {
                    self.string()?;
                    continue;
                }
                _ => {}
            }
            self.at += self.rest().chars().next().map_or(1, char::len_utf8);
        }
        let word = self.text[start..self.at].trim();
        if word.is_empty() {
            return Err("a value is missing".to_owned());
        }
        // A comment is no part of the value; a path after a descriptor does no harm.
        let word = word.split("/*").next().unwrap_or(word).trim();
        Ok(Value::Word(word.to_owned()))
    }

    /// What `-y` prints after a descriptor: `<…>`, where `->` may stand inside.
    fn annotation(&mut self) -> Result<(), String> {
        let rest = self.rest().as_bytes();
        let end = (1..rest.len()).find(|at| {
            rest[*at] == b'>'
                && rest[at - 1] != b'-'
                && rest.get(at + 1).is_none_or(|next| b" ,])}".contains(next))
        });
        self.at += end.ok_or("a `<` without its `>`")? + 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let source = self.text.as_bytes();
        self.at += 1;
        loop {
            let byte = self.peek().ok_or("a string does not end")?;
            self.at += 1;
            match byte {
                b'"' => return Ok(bytes),
                b'\\' => {
                    let (byte, len) = escape(source.get(self.at..).unwrap_or_default())?;
                    bytes.push(byte);
                    self.at += len;
                }
                _ => bytes.push(byte),
            }
        }
    }
}

/// The byte that an escape after its backslash stands for, and the length of the escape.
fn escape(text: &[u8]) -> Result<(u8, usize), String> {
    let digits = |from: usize, limit: usize, radix: u32| {
        let len = text[from..]
            .iter()
            .take(limit)
            .take_while(|byte| char::from(**byte).is_digit(radix))
            .count();
        std::str::from_utf8(&text[from..from + len])
            .ok()
            .and_then(|digits| u32::from_str_radix(digits, radix).ok())
            .and_then(|value| u8::try_from(value).ok())
            .map(|value| (value, from + len))
    };
    let plain = |byte: u8| Some((byte, 1));
    match text.first() {
        Some(b'n') => plain(b'\n'),
        Some(b't') => plain(b'\t'),
        Some(b'r') => plain(b'\r'),
        Some(b'v') => plain(0x0b),
        Some(b'f') => plain(0x0c),
        Some(b'a') => plain(0x07),
        Some(b'b') => plain(0x08),
        Some(b'e') => plain(0x1b),
        Some(byte @ (b'"' | b'\\' | b'\'')) => plain(*byte),
        Some(b'x') => digits(1, 2, 16),
        Some(b'0'..=b'7') => digits(0, 3, 8),
        _ => None,
    }
    .ok_or_else(|| {
        let shown = text.first().map_or("the end of the line".to_owned(), |byte| {
            format!("`\\{}`", byte.escape_ascii())
        });
        format!("{shown} is no escape that strace prints")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        let line = format!("{text})");
        let (mut values, rest) = arguments(&line).expect("arguments");
        assert_eq!((values.len(), rest), (1, ""), "{text}");
        values.remove(0)
    }

    fn word(text: &str) -> Value {
        Value::Word(text.to_owned())
    }

    #[test]
    fn escapes_of_every_style_are_undone() {
        let texts: &[(&str, &[u8])] = &[
            (r#""\x01\xff\x20""#, &[1, 0xff, 0x20]),
            (r#""\0\1\17\377""#, &[0, 1, 0o17, 0xff]),
            // strace pads an octal escape to three digits when a digit follows.
            (r#""\0012\7z""#, &[1, b'2', 7, b'z']),
            (r#""\n\t\r\v\f\"\\a""#, b"\n\t\r\x0b\x0c\"\\a"),
            (r#""plain, [text] {here}""#, b"plain, [text] {here}"),
            (r#""""#, b""),
            (r#""cut"..."#, b"cut"),
        ];
        for (text, bytes) in texts {
            assert_eq!(one(text), Value::Text(bytes.to_vec()), "{text}");
        }
    }

    #[test]
    fn nested_values_are_read() {
        let value = one(r#"{a=[{b="x", c=1}, {b="y", c=2}], d=NULL, ...}"#);
        let list = value.get("a").expect("a");
        assert_eq!(list.elements().len(), 2);
        assert_eq!(list.elements()[1].get("b"), Some(&Value::Text(b"y".to_vec())));
        assert_eq!(list.elements()[1].get("c").and_then(Value::number), Some(2));
        assert_eq!(value.get("d"), Some(&word("NULL")));
        assert_eq!(one("[]"), Value::List(vec![]));
        assert_eq!(one("[11, 12]").elements().len(), 2);
    }

    #[test]
    fn words_keep_what_belongs_to_them() {
        assert_eq!(one("9<socket:[77]>").number(), Some(9));
        assert_eq!(one("9<UNIX-STREAM:[7->8]>").number(), Some(9));
        assert_eq!(one(r#"9<UNIX:[7->8,"/run/a,b"]>"#).number(), Some(9));
        assert_eq!(
            one(r#"{p=htons(53), a=inet_addr("1.2, 3")}"#).get("p"),
            Some(&word("htons(53)"))
        );
        assert_eq!(one("0x7f /* 3 vars, all */"), word("0x7f"));
        assert_eq!(one("110 => 16"), word("110 => 16"));
        assert_eq!(one("[1] => [2, 3]").elements().len(), 2);
        assert_eq!(one("-1").number(), Some(-1));
        assert_eq!(one("NULL").number(), None);
        assert!(one("MSG_PEEK|MSG_DONTWAIT").has_flag("MSG_PEEK"));
        assert!(!one("MSG_PEEKED").has_flag("MSG_PEEK"));
    }

    #[test]
    fn what_is_no_argument_list_says_why() {
        for (text, error) in [
            ("\"abc", "a string does not end"),
            ("\"\\q\")", "`\\q` is no escape that strace prints"),
            ("\"\\400\")", "`\\4` is no escape that strace prints"),
            ("\"\\x\")", "`\\x` is no escape that strace prints"),
            ("\"\\", "the end of the line is no escape that strace prints"),
            ("{a=1, b=[2}", "`}` where `]` belongs"),
            ("1, 2", "the line ends before `)`"),
            ("{a=}", "a value is missing"),
            ("9<socket", "a `<` without its `>`"),
        ] {
            assert_eq!(arguments(text), Err(error.to_owned()), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(arguments(&deep).is_err_and(|error| error.contains("nested")));
    }
}
