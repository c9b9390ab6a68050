//! Texts of URLs, headers and small fields.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use api_types::units::Quantity;
use kube::core::{Expression, Selector, SelectorExt};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use store::Key;

use super::refused;
use super::source::Source;
use crate::authn::{SigningKey, user_of_certificate};
use crate::columns::JsonPath;
use crate::handlers::{Query, Token, consistency};
use crate::negotiate;
use crate::request_info;
use crate::selector::{FieldSelector, LabelSelector};
use crate::validation::{formats, names as rules};

pub(super) const LABELS: &[&str] = &[
    "a=1,b!=2,c==3",
    "app.io/name in (x, y,),b notin (z),c,!d",
    "a>1,b<-2,in in (in,notin),a=",
];

pub(super) fn label_selectors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match LabelSelector::parse(text) {
        Ok(selector) => {
            // Spaces around a selector mean nothing.
            assert_eq!(
                LabelSelector::parse(&format!(" {text}\t")),
                Ok(selector.clone()),
                "{text:?}"
            );
            let everything = selector.matches(&BTreeMap::new())
                && selector.matches(&BTreeMap::from([("a".into(), "1".into())]));
            assert!(!selector.is_empty() || everything);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A selector that kube-rs makes means here what it means there.
pub(super) fn equal_selectors(data: &[u8]) {
    const KEYS: &[&str] = &["a", "b", "x.io/a", "in", "notin"];
    const VALUES: &[&str] = &["", "1", "b", "in", "A-b_c.d"];
    let mut source = Source(data);
    let set = |source: &mut Source<'_>| {
        (0..1 + source.below(3))
            .map(|_| source.pick(VALUES).to_owned())
            .collect()
    };
    let expressions: Vec<Expression> = (0..source.below(4))
        .map(|_| {
            let key = source.pick(KEYS).to_owned();
            match source.below(6) {
                0 => Expression::In(key, set(&mut source)),
                1 => Expression::NotIn(key, set(&mut source)),
                2 => Expression::Equal(key, source.pick(VALUES).to_owned()),
                3 => Expression::NotEqual(key, source.pick(VALUES).to_owned()),
                4 => Expression::Exists(key),
                _ => Expression::DoesNotExist(key),
            }
        })
        .collect();
    let theirs: Selector = expressions.into_iter().collect();
    let ours = LabelSelector::parse(&theirs.to_string()).unwrap();
    for _ in 0..4 {
        let labels = (0..source.below(4))
            .map(|_| (source.pick(KEYS).to_owned(), source.pick(VALUES).to_owned()))
            .collect();
        assert_eq!(
            ours.matches(&labels),
            theirs.matches(&labels),
            "{theirs} on {labels:?}"
        );
    }
}

pub(super) const FIELDS: &[&str] = &[
    "metadata.name=web.1,metadata.namespace!=shop",
    r"involvedObject.name==a\,b\=c\\,status.phase=",
];

pub(super) fn field_selectors(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let key = Key::new("pods", "shop", text);
    if let Ok(selector) = FieldSelector::parse(text) {
        let _ = selector.matches(&key, || json!({"status": {"phase": text}}));
        assert!(!selector.is_empty() || selector.matches(&key, || Value::Null));
    }
    // Any value can be asked for, escaped.
    let escaped: String = text
        .chars()
        .flat_map(|c| "\\,=".contains(c).then_some('\\').into_iter().chain([c]))
        .collect();
    let selector = FieldSelector::parse(&format!("metadata.name={escaped}")).unwrap();
    assert_eq!(selector.name(), Some(text));
    assert!(selector.matches(&key, || Value::Null));
}

pub(super) const OPTIONS: &[&str] = &[
    "limit=500&continue=eyJydiI6NywibnMiOiJzaG9wIiwibmFtZSI6IndlYiJ9&resourceVersion=0&labelSelector=a%3Db",
    "watch=true&allowWatchBookmarks=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=300",
    "dryRun=All&fieldManager=kubectl&fieldValidation=Strict&force=True&timeout=1m30s&resourceVersionMatch=Exact&resourceVersion=18446744073709551616",
];

pub(super) fn list_options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let query = Query::parse(text);
    let token = query.set("continue").map(Token::decode).transpose();
    let limit = query.limit();
    let results = [
        limit.clone().map(drop),
        query.timeout_seconds().map(drop),
        query.resource_version().map(drop),
        query.dry_run().map(drop),
        query.check_field_manager(),
        query.field_validation().map(drop),
        query.read_consistency().map(drop),
        query.timeout().map(drop),
    ];
    results
        .into_iter()
        .filter_map(Result::err)
        .for_each(|error| refused(&error));
    match token {
        Ok(token) => {
            if let Some(token) = &token {
                assert_eq!(&Token::decode(&token.encode()).unwrap(), token);
            }
            if let Err(error) = consistency(&query, token.as_ref(), limit.ok().flatten()) {
                refused(&error);
            }
        }
        Err(error) => refused(&error),
    }
}

pub(super) const PATHS: &[&str] = &[
    "/apis/obiente.cloud/v1alpha1/namespaces/shop/deployments/web/scale",
    "/api/v1/namespaces/a%2fb/events",
    "application/json;as=Table;v=v1;g=meta.k8s.io;q=0.5, application/yaml, */*;q=0.1",
];

pub(super) fn paths_and_headers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let request_info::Target::Resource(found) = request_info::parse(text) {
        assert!(
            !found.resource.is_empty() && !found.version.is_empty(),
            "{found:?}"
        );
    }
    let _ = negotiate::negotiate(Some(text), |_| true);
    let _ = crate::decode::body(Some(text), b"{}");
}

pub(super) const NAMES: &[&str] = &[
    "web-1.example.com",
    "-a",
    "A.b_c/d",
    "a/b/c",
    "1h30m",
    "2024-02-30T00:00:00Z",
    "::ffff:1.2.3.4/129",
];

/// A name is good or there is a word about it; formats never stumble.
pub(super) fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let rules = [
        rules::subdomain,
        rules::label,
        rules::qualified_name,
        rules::label_value,
        rules::config_key,
    ];
    for problems in rules.map(|rule| rule(text)) {
        assert!(problems.iter().all(|problem| !problem.is_empty()));
    }
    if rules::label(text).is_empty() {
        assert!(
            rules::subdomain(text).is_empty() && rules::label_value(text).is_empty(),
            "{text}"
        );
    }
    let known = [
        "date-time",
        "date",
        "duration",
        "byte",
        "ipv4",
        "ipv6",
        "cidr",
        "uri",
        "hostname",
        "email",
        "uuid",
        "mac",
    ];
    for format in known.into_iter().chain([text]) {
        let _ = formats::matches(format, text);
    }
}

pub(super) const QUANTITIES: &[&str] = &[
    "500m",
    "1.5",
    "-0.1Ki",
    "+3E",
    "1e-3",
    "12E6",
    "9223372036854775807",
    "0.0000000001n",
];

pub(super) fn quantities(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let quantity = Quantity(text.to_owned());
        // What is read is written shorter and read the same again.
        if let Ok(nano) = quantity.nano_cpus() {
            assert_eq!(
                Quantity::from_nano_cpus(nano).nano_cpus(),
                Ok(nano),
                "{text}"
            );
        }
        if let Ok(bytes) = quantity.bytes() {
            assert_eq!(Quantity::from_bytes(bytes).bytes(), Ok(bytes), "{text}");
        }
    }
    let number = Source(data).integer();
    assert_eq!(Quantity::from_bytes(number).bytes(), Ok(number));
    assert_eq!(Quantity::from_nano_cpus(number).nano_cpus(), Ok(number));
}

pub(super) const JSON_PATHS: &[&str] = &[
    ".status.conditions[?(@.type==\"Ready\")].status",
    "{$.metadata.labels.a\\.b/c}",
    "['a'][0][-1][*].b[?(@.c<=3)]",
    ".a[?(@.b)].c[?(@.d!='x')]",
];

pub(super) fn json_paths(data: &[u8]) {
    let at = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..at]) else {
        return;
    };
    let value = Source(data.get(at + 1..).unwrap_or(data)).value(&[
        "a",
        "b",
        "c",
        "status",
        "conditions",
        "type",
    ]);
    match JsonPath::parse(text) {
        Ok(path) => {
            let _ = path.first(&value);
            assert_eq!(JsonPath::parse(&path.to_string()), Ok(path));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Certificates that TLS has verified are well-formed; this reads others without stumbling, too.
pub(super) fn certificates(data: &[u8]) {
    if let Some(user) = user_of_certificate(&CertificateDer::from(data)) {
        assert!(!user.name.is_empty());
    }
}

/// What was signed says the same, and nothing else is believed.
pub(super) fn tokens(data: &[u8]) {
    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());
    let mut source = Source(data);
    let claims = json!({"sub": source.text(), "exp": source.integer(), "aud": [source.text()]});
    let token = KEY.sign(&claims).unwrap();
    assert_eq!(KEY.public().verify(&token), Some(claims));
    let at = usize::from(source.byte()) * token.len() / 256;
    let end = (at + source.below(8)).min(token.len());
    let mut forged = token.clone();
    forged.replace_range(at..end, &source.text());
    assert!(
        forged == token || KEY.public().verify(&forged).is_none(),
        "{forged}"
    );
    let text = String::from_utf8_lossy(data);
    assert_eq!(KEY.public().verify(&text), None);
}
