//! URLs as Go's `net/url` reads them, in its words.
//!
//! The crate `url` follows browsers: it adds slashes, drops ports that go without saying and changes
//! hosts. What a rule or a format asks of a URL is answered from the text as it is written.

use super::field::quoted;

/// A URL in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Url {
    pub scheme: String,
    pub host: String,
    /// As it is written.
    path: String,
    query: String,
}

/// Reads what may stand in a request: an absolute URL, or an absolute path.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn request_uri(text: &str) -> Result<(), String> {
    read(text, true).map(drop).map_err(|why| told(text, &why))
}

/// Reads a URL that may stand in a request, without its fragment.
///
/// # Errors
/// As [`request_uri`].
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    request_uri(text)?;
    let (plain, fragment) = text.split_once('#').unwrap_or((text, ""));
    let url = read(plain, false).map_err(|why| told(plain, &why))?;
    unescaped(fragment, In::Path).map_err(|why| told(text, &why))?;
    Ok(url)
}

fn told(text: &str, why: &str) -> String {
    format!("parse {}: {why}", quoted(text))
}

impl Url {
    /// The host without its port and brackets.
    pub(crate) fn hostname(&self) -> &str {
        let name = self.split().0;
        let inner = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        inner.unwrap_or(name)
    }

    /// The port, if one is written.
    pub(crate) fn port(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        match self.host.rfind(':') {
            Some(at) if is_port(&self.host[at..]) => (&self.host[..at], &self.host[at + 1..]),
            _ => (&self.host, ""),
        }
    }

    /// The path with everything escaped that has to be.
    pub(crate) fn escaped_path(&self) -> String {
        let valid = |byte: u8| !escaped_in_path(byte) || b"!'()*[]%".contains(&byte);
        if self.path.bytes().all(valid) {
            return self.path.clone();
        }
        let bytes = unescaped(&self.path, In::Path).unwrap_or_default();
        let escape = |byte: u8| match escaped_in_path(byte) {
            true => format!("%{byte:02X}"),
            false => char::from(byte).to_string(),
        };
        bytes.into_iter().map(escape).collect()
    }

    /// The parameters, in their order. What cannot be read is left out.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let text = |part: &str| {
            let bytes = unescaped(&part.replace('+', " "), In::Path).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let pairs = self
            .query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((text(name)?, text(value)?))
        };
        pairs.filter_map(pair).collect()
    }
}

fn read(text: &str, request: bool) -> Result<Url, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".into());
    }
    if text.is_empty() && request {
        return Err("empty url".into());
    }
    if text == "*" {
        let path = text.to_owned();
        return Ok(Url {
            path,
            ..Url::default()
        });
    }
    let (scheme, rest) = scheme_of(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url {
        scheme: scheme.to_ascii_lowercase(),
        query: query.to_owned(),
        ..Url::default()
    };
    if !rest.starts_with('/') {
        let first = rest.split('/').next().unwrap_or_default();
        return match scheme {
            "" if request => Err("invalid URI for request".into()),
            "" if first.contains(':') => {
                Err("first path segment in URL cannot contain colon".into())
            }
            // What follows the scheme means something to those who know it.
            _ => Ok(url),
        };
    }
    let mut path = rest;
    let has_host = !scheme.is_empty() || !request && !rest.starts_with("///");
    if let Some(authority) = rest.strip_prefix("//").filter(|_| has_host) {
        let end = authority.find('/').unwrap_or(authority.len());
        url.host = host_of(&authority[..end])?;
        path = &authority[end..];
    }
    unescaped(path, In::Path)?;
    url.path = path.to_owned();
    Ok(url)
}

/// The scheme, and what follows its colon.
fn scheme_of(text: &str) -> Result<(&str, &str), String> {
    for (at, letter) in text.char_indices() {
        match letter {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn host_of(authority: &str) -> Result<String, String> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let known =
        |letter: char| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter);
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        &host[end + 1..]
    } else {
        host.find(':').map_or("", |at| &host[at..])
    };
    if !is_port(port) {
        return Err(format!("invalid port {} after host", quoted(port)));
    }
    let zone = host.find("%25").filter(|_| host.starts_with('['));
    let (before, zone) = host.split_at(zone.unwrap_or(host.len()));
    let mut bytes = unescaped(before, In::Host)?;
    bytes.extend(unescaped(zone, In::Zone)?);
    if !user.chars().all(known) {
        return Err("net/url: invalid userinfo".into());
    }
    unescaped(user, In::Path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Nothing, or a colon with digits.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':');
    text.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[derive(Clone, Copy, PartialEq)]
enum In {
    Path,
    Host,
    Zone,
}

/// The bytes that a text with escapes stands for.
fn unescaped(text: &str, place: In) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        if first == b'%' {
            let code = rest
                .get(1..3)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            // Of hosts, only bytes that are no ASCII are escaped.
            let wrong = |byte: u8| match place {
                In::Path => false,
                In::Host => byte < 0x80 && byte != b'%',
                In::Zone => byte != b'%' && byte != b' ' && !in_host(byte),
            };
            match code.filter(|byte| !wrong(*byte) && !rest[1..].starts_with('+')) {
                Some(byte) => bytes.push(byte),
                None => {
                    let shown: String = rest.chars().take(3).collect();
                    return Err(format!("invalid URL escape {}", quoted(&shown)));
                }
            }
            rest = &rest[3..];
            continue;
        }
        if place != In::Path && first < 0x80 && !in_host(first) {
            let shown = quoted(&rest[..1]);
            return Err(format!("invalid character {shown} in host name"));
        }
        bytes.push(first);
        let next = rest.chars().next().map_or(1, char::len_utf8);
        bytes.extend(&rest.as_bytes()[1..next]);
        rest = &rest[next..];
    }
    Ok(bytes)
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

fn escaped_in_path(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !b"-_.~$&+,/:;=@".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_are_taken_as_they_are_written() {
        let cases = [
            (
                "https://a.b:443/p%20x?q=1#f",
                "https a.b:443 a.b 443 /p%20x",
            ),
            ("HTTP://A", "http A A  "),
            ("http://[::1]:80/", "http [::1]:80 ::1 80 /"),
            ("http://u:p@h", "http h h  "),
            ("//h:1/p", " h:1 h 1 /p"),
            ("/a b/ü", "    /a%20b/%C3%BC"),
            ("/a(b)", "    /a(b)"),
            ("mailto:a@b", "mailto    "),
            ("*", "    *"),
        ];
        for (text, parts) in cases {
            let url = parse(text).unwrap();
            let found = [
                &url.scheme,
                &url.host,
                url.hostname(),
                url.port(),
                &url.escaped_path(),
            ];
            assert_eq!(found.join(" "), parts, "{text}");
        }
        let query = parse("http://h?a=1&b+c=%20&a=2&x;y&%zz=1&d")
            .unwrap()
            .query();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            query,
            [
                pair("a", "1"),
                pair("b c", " "),
                pair("a", "2"),
                pair("d", "")
            ]
        );
    }

    #[test]
    fn what_is_no_url_is_told_in_the_words_of_go() {
        for (text, why) in [
            ("", "empty url"),
            ("a", "invalid URI for request"),
            ("::", "missing protocol scheme"),
            ("http://a\t", "net/url: invalid control character in URL"),
            ("http://h:x/", "invalid port \":x\" after host"),
            ("http://::1/", "invalid port \"::1\" after host"),
            ("http://[::1/", "missing ']' in host"),
            ("http://a b/", "invalid character \" \" in host name"),
            ("http://h/%zz", "invalid URL escape \"%zz\""),
            ("http://h/%+1", "invalid URL escape \"%+1\""),
            ("http://h/%ü", "invalid URL escape \"%ü\""),
            ("http://%41/", "invalid URL escape \"%41\""),
            ("http://u u@h/", "net/url: invalid userinfo"),
        ] {
            assert_eq!(
                parse(text).unwrap_err(),
                format!("parse {}: {why}", quoted(text))
            );
        }
    }
}
