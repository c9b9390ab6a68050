//! Stored objects without their type, as lists of Kubernetes' own kinds have them.
//!
//! **Assumptions.** What is stored is a JSON object without white space between its tokens.
//! Nothing is parsed, and nothing is looked at behind the later of the two fields.

const TYPE: [&[u8]; 2] = [b"\"apiVersion\":", b"\"kind\":"];

/// Appends an object without its `apiVersion` and `kind`.
pub(super) fn push(out: &mut Vec<u8>, json: &[u8]) {
    let (mut at, mut left, mut separator) = (1, TYPE.len(), b'{');
    while left > 0 && json.get(at) == Some(&b'"') {
        let end = at + member(&json[at..]);
        let text = &json[at..end];
        if TYPE.iter().any(|name| text.starts_with(name)) {
            left -= 1;
        } else {
            out.push(separator);
            out.extend_from_slice(text);
            separator = b',';
        }
        at = end + usize::from(json.get(end) == Some(&b','));
    }
    let rest = json.get(at..).unwrap_or_default();
    if rest != b"}" || separator == b'{' {
        out.push(separator);
    }
    out.extend_from_slice(rest);
}

/// How long the first member is: up to the comma or the brace behind it.
fn member(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string(&text[at..]),
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Where a string's closing quote is.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_goes() {
        let cases = [
            (
                r#"{"apiVersion":"v1","data":{"kind":"a","x":"\"}],\\"},"kind":"Secret","metadata":{"kind":[1,{}]},"type":"t"}"#,
                r#"{"data":{"kind":"a","x":"\"}],\\"},"metadata":{"kind":[1,{}]},"type":"t"}"#,
            ),
            (
                r#"{"action":"","apiVersion":"v1","kind":"Event"}"#,
                r#"{"action":""}"#,
            ),
            (
                r#"{"kind":"K","metadata":{},"apiVersion":"v1"}"#,
                r#"{"metadata":{}}"#,
            ),
            (r#"{"kind":"K","apiVersion":"v1"}"#, "{}"),
            (
                r#"{"metadata":{"name":"a"}}"#,
                r#"{"metadata":{"name":"a"}}"#,
            ),
            ("{}", "{}"),
        ];
        for (stored, expected) in cases {
            let mut out = Vec::new();
            push(&mut out, stored.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
