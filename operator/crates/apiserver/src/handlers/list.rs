//! Read many objects.
//!
//! Guarantee: a list in pages shows one state. A later page is read at the revision of the first;
//! when history no longer has it, the answer is `Expired` with a token that goes on from the same
//! place at a newer state, for clients that rather have that than start again.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use store::{Consistency, ListQuery, Object};

use super::options::VersionMatch;
use super::{Call, Query, Reply};
use crate::negotiate::ListPosition;
use crate::selector::Selection;
use crate::status_error::ApiError;
use crate::validation::FieldError;

const MATCH: &str = "resourceVersionMatch";

/// What a continue token says. Revision 0: at whatever is newest.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(rename = "rv")]
    revision: u64,
    #[serde(rename = "ns")]
    namespace: String,
    name: String,
}

impl Token {
    pub(crate) fn encode(&self) -> String {
        // A struct of a number and two strings always serializes.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn decode(text: &str) -> Result<Self, ApiError> {
        let error = |error: &dyn std::error::Error| {
            let message = format!("invalid continue token: continue key is not valid: {error}");
            ApiError::BadRequest(message)
        };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|problem| error(&problem))?;
        serde_json::from_slice(&bytes).map_err(|problem| error(&problem))
    }
}

/// `GET …` of a collection.
pub(crate) async fn list(call: &Call) -> Reply {
    let selection = selection(call)?;
    let limit = call.query.limit()?;
    // Of no use here, and refused all the same when it is wrong.
    call.query.timeout_seconds()?;
    let token = call.query.set("continue").map(Token::decode).transpose()?;
    let at = consistency(&call.query, token.as_ref(), limit)?;
    let query = ListQuery {
        resource: call.def.storage.clone(),
        namespace: namespace(call),
        filter: selection.filter(&call.def),
        at,
        after: token
            .as_ref()
            .map(|token| (token.namespace.as_str().into(), token.name.as_str().into())),
        // What any state will do for comes from memory, in one piece.
        limit: limit.filter(|_| at != Consistency::Cached),
    };
    let page = match call.server.inner.store.list(query).await {
        Ok(page) => page,
        Err(store::Error::Compacted { .. }) => return Err(expired(token)),
        Err(error) => return Err(error.into()),
    };
    let next = page
        .objects
        .last()
        .filter(|_| page.more)
        .map(|last| next_token(page.revision, last));
    let position = ListPosition {
        revision: page.revision,
        next,
        remaining: page.remaining.filter(|_| page.more),
    };
    call.renderer.list(page.objects, &position)
}

/// Which objects of the collection the request is about.
pub(super) fn selection(call: &Call) -> Result<Selection, ApiError> {
    let parameter = |name| call.query.get(name).unwrap_or_default();
    Selection::parse(
        &call.def,
        parameter("labelSelector"),
        parameter("fieldSelector"),
    )
    .map(|selection| selection.named(&call.path.name))
}

/// The namespace of the request, or all.
pub(super) fn namespace(call: &Call) -> Option<Arc<str>> {
    Some(call.path.namespace.as_str())
        .filter(|namespace| !namespace.is_empty())
        .map(Arc::from)
}

fn next_token(revision: u64, last: &Object) -> String {
    Token {
        revision,
        namespace: last.key.namespace.to_string(),
        name: last.key.name.to_string(),
    }
    .encode()
}

fn expired(token: Option<Token>) -> ApiError {
    let Some(token) = token else {
        return ApiError::Expired {
            message: "The resourceVersion for the provided list is too old.".to_owned(),
            next: None,
        };
    };
    let message = "The provided continue parameter is too old to display a consistent list result. You can start \
        a new list without the continue parameter, or use the continue token in this response to retrieve the \
        remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
        that were created, modified, or deleted between the time the first chunk was returned and now may show \
        up in the list.";
    let again = Token {
        revision: 0,
        ..token
    };
    ApiError::Expired {
        message: message.to_owned(),
        next: Some(again.encode()),
    }
}

/// Do the parameters of a list go together?
fn check(query: &Query) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    let mut forbidden = |field: &str, detail| problems.push(FieldError::forbidden(field, detail));
    let (version, how) = (query.set("resourceVersion"), query.set(MATCH));
    if how.is_some() && version.is_none() {
        forbidden(
            MATCH,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        );
    }
    if how.is_some() && query.set("continue").is_some() {
        forbidden(
            MATCH,
            "resourceVersionMatch is forbidden when continue is provided",
        );
    }
    if how == Some("Exact") && version == Some("0") {
        forbidden(
            MATCH,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        );
    }
    if query.flag_if_set("sendInitialEvents").is_some() {
        forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
    }
    if let Some(how) = how.filter(|_| query.version_match() == VersionMatch::Unset) {
        let supported = ["Exact", "NotOlderThan", ""];
        problems.push(FieldError::not_supported(MATCH, how, &supported));
    }
    query.check(problems)
}

/// The rules of `resourceVersion` and `resourceVersionMatch` for lists.
pub(crate) fn consistency(
    query: &Query,
    token: Option<&Token>,
    limit: Option<usize>,
) -> Result<Consistency, ApiError> {
    check(query)?;
    if let Some(token) = token {
        if query
            .set("resourceVersion")
            .is_some_and(|version| version != "0")
        {
            let message = "specifying resource version is not allowed when using continue";
            return Err(ApiError::BadRequest(message.to_owned()));
        }
        return Ok(if token.revision == 0 {
            Consistency::Latest
        } else {
            Consistency::Exact(token.revision)
        });
    }
    Ok(match (query.resource_version()?, query.version_match()) {
        (None, _) => Consistency::Latest,
        (Some(0), _) => Consistency::Cached,
        (Some(version), VersionMatch::Exact) => Consistency::Exact(version),
        // Without a word about how, the first page of a list is read exactly there, for clients
        // older than the word.
        (Some(version), VersionMatch::Unset) if limit.is_some() => Consistency::Exact(version),
        (Some(version), _) => Consistency::NotOlderThan(version),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let token = Token {
            revision: 7,
            namespace: "shop".into(),
            name: "web".into(),
        };
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        for text in ["x", "%%", "e30"] {
            assert!(
                matches!(Token::decode(text), Err(ApiError::BadRequest(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn freshness() {
        let cases = [
            ("", Some(Consistency::Latest)),
            ("resourceVersion=0", Some(Consistency::Cached)),
            ("resourceVersion=5", Some(Consistency::NotOlderThan(5))),
            ("resourceVersion=5&limit=1", Some(Consistency::Exact(5))),
            (
                "resourceVersion=5&limit=1&resourceVersionMatch=NotOlderThan",
                Some(Consistency::NotOlderThan(5)),
            ),
            (
                "resourceVersion=5&resourceVersionMatch=Exact",
                Some(Consistency::Exact(5)),
            ),
            (
                "resourceVersion=0&resourceVersionMatch=NotOlderThan",
                Some(Consistency::Cached),
            ),
            ("resourceVersion=0&resourceVersionMatch=Exact", None),
            ("resourceVersionMatch=Exact", None),
            ("resourceVersion=abc", None),
            ("sendInitialEvents=true", None),
        ];
        for (text, expected) in cases {
            let query = Query::parse(text);
            let limit = query.limit().unwrap();
            assert_eq!(consistency(&query, None, limit).ok(), expected, "{text}");
        }
        let error = consistency(
            &Query::parse("resourceVersionMatch=x&continue=y"),
            None,
            None,
        );
        let expected = [
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
            "resourceVersionMatch is forbidden when continue is provided",
            r#"supported values: "Exact", "NotOlderThan", """#,
        ];
        let message = error.unwrap_err().to_string();
        let told = expected.iter().all(|part| message.contains(part));
        assert!(told, "{message}");
        let token = |revision| Token {
            revision,
            namespace: String::new(),
            name: "a".into(),
        };
        let with =
            |text: &str, token: Token| consistency(&Query::parse(text), Some(&token), Some(1)).ok();
        assert_eq!(with("", token(9)), Some(Consistency::Exact(9)));
        assert_eq!(with("", token(0)), Some(Consistency::Latest));
        assert_eq!(
            with("resourceVersion=0", token(9)),
            Some(Consistency::Exact(9))
        );
        assert_eq!(with("resourceVersion=3", token(9)), None);
    }
}
