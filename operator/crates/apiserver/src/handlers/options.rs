//! Query parameters. Those that are not known are ignored, as clients expect; those that are
//! known and wrong are refused.

use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

use http::Method;
use store::Consistency;

use crate::status_error::ApiError;
use crate::validation::FieldError;

/// A watch that asks for more than this is ended earlier, as it may be at any time.
const LONGEST_WATCH: Duration = Duration::from_secs(24 * 60 * 60);

/// What to do about fields that are unknown or there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Say nothing.
    Ignore,
    /// Warn.
    Warn,
    /// Refuse.
    Strict,
}

/// How `resourceVersion` is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    /// Not said.
    Unset,
    /// At least that new.
    NotOlderThan,
    /// Exactly that.
    Exact,
}

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// What the parameters are together, as errors name it: `CreateOptions`.
    options: &'static str,
}

impl Query {
    /// Reads the part of a URL behind `?`.
    pub(crate) fn parse(text: &str) -> Self {
        Self {
            pairs: form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
            options: "ListOptions",
        }
    }

    /// The same, of a request with this method.
    pub(crate) fn of(self, method: &Method) -> Self {
        let options = match *method {
            Method::POST => "CreateOptions",
            Method::PUT => "UpdateOptions",
            Method::PATCH => "PatchOptions",
            Method::DELETE => "DeleteOptions",
            _ => self.options,
        };
        Self { options, ..self }
    }

    /// The error of a wrong parameter.
    pub(crate) fn invalid(&self, problem: FieldError) -> ApiError {
        ApiError::invalid_options(self.options, vec![problem])
    }

    /// The error of parameters with these problems, if there are any.
    pub(crate) fn check(&self, problems: Vec<FieldError>) -> Result<(), ApiError> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid_options(self.options, problems))
    }

    /// The first value of a parameter.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// A parameter that is there and not empty.
    pub(crate) fn set<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A switch: there with anything but a false value.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flag_if_set(name).unwrap_or_default()
    }

    /// A switch that can also be left out.
    pub(crate) fn flag_if_set(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| {
            let error = |error| ApiError::BadRequest(go_parse_error("ParseInt", text, &error));
            text.parse().map_err(error)
        };
        self.get(name).map(parse).transpose()
    }

    /// Most items of a page; 0 and less are no limit.
    pub(crate) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let limit = self.number("limit")?.filter(|limit| *limit > 0);
        Ok(limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    /// How long a watch runs; less than nothing is over at once.
    pub(crate) fn timeout_seconds(&self) -> Result<Option<Duration>, ApiError> {
        let asked = self.number("timeoutSeconds")?.filter(|asked| *asked != 0);
        let length = |asked| Duration::from_secs(u64::try_from(asked).unwrap_or_default());
        Ok(asked.map(|asked| length(asked).min(LONGEST_WATCH)))
    }

    /// `resourceVersion`; `None` when unset.
    pub(crate) fn resource_version(&self) -> Result<Option<u64>, ApiError> {
        let parse = |text: &str| {
            let error = |error| {
                let detail = go_parse_error("ParseUint", text, &error);
                let problem = FieldError::invalid("resourceVersion", text, detail);
                ApiError::BadRequest(format!("invalid resource version: {problem}"))
            };
            text.parse().map_err(error)
        };
        self.set("resourceVersion").map(parse).transpose()
    }

    /// `resourceVersionMatch`, once it has been checked.
    pub(crate) fn version_match(&self) -> VersionMatch {
        match self.get("resourceVersionMatch") {
            Some("NotOlderThan") => VersionMatch::NotOlderThan,
            Some("Exact") => VersionMatch::Exact,
            _ => VersionMatch::Unset,
        }
    }

    /// Checks `gracePeriodSeconds`: nothing here takes time to go.
    pub(crate) fn grace_period(&self) -> Result<(), ApiError> {
        self.number("gracePeriodSeconds").map(drop)
    }

    /// Validate and answer, but write nothing.
    pub(crate) fn dry_run(&self) -> Result<bool, ApiError> {
        self.is_dry(self.all("dryRun").collect())
    }

    /// What the values of `dryRun` say.
    ///
    /// # Errors
    /// For anything but `All`.
    pub(crate) fn is_dry(&self, values: Vec<&str>) -> Result<bool, ApiError> {
        if values.iter().any(|value| *value != "All") {
            let problem = FieldError::not_supported("dryRun", values, &["All"]);
            return Err(self.invalid(problem));
        }
        Ok(!values.is_empty())
    }

    /// `fieldManager` becomes part of the object: a name that later writes of the object would be
    /// refused for is refused here.
    pub(crate) fn check_field_manager(&self) -> Result<(), ApiError> {
        let name = self.get("fieldManager").unwrap_or_default();
        let problem = if name.len() > 128 {
            FieldError::too_long("fieldManager", 128)
        } else if let Some((at, found)) = name.char_indices().find(|(_, c)| c.is_control()) {
            let detail = format!(
                "invalid character U+{:04X} (at position {at})",
                u32::from(found)
            );
            FieldError::invalid("fieldManager", name, detail)
        } else {
            return Ok(());
        };
        Err(self.invalid(problem))
    }

    /// `fieldValidation`.
    pub(crate) fn field_validation(&self) -> Result<FieldValidation, ApiError> {
        match self.set("fieldValidation") {
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => {
                let allowed = ["", "Ignore", "Strict", "Warn"];
                let problem = FieldError::not_supported("fieldValidation", other, &allowed);
                Err(self.invalid(problem))
            }
        }
    }

    /// How fresh a read of one object must be.
    pub(crate) fn read_consistency(&self) -> Result<Consistency, ApiError> {
        Ok(match self.resource_version()? {
            None => Consistency::Latest,
            Some(0) => Consistency::Cached,
            Some(version) => Consistency::NotOlderThan(version),
        })
    }

    /// `timeout`, as Go writes durations; `None` for one that has passed already.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        let Some(text) = self.set("timeout") else {
            return Ok(None);
        };
        if text.strip_prefix('-').and_then(go_duration).is_some() {
            return Ok(None);
        }
        let asked = go_duration(text).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "invalid timeout specified in the request URL - time: invalid duration {text:?}"
            ))
        })?;
        Ok(Some(asked).filter(|asked| !asked.is_zero()))
    }
}

/// The error of Go's `strconv`, which clients know.
fn go_parse_error(function: &str, text: &str, error: &ParseIntError) -> String {
    let why = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {text:?}: {why}")
}

/// `1h2m3.5s`, `300ms`; a bare `0` too.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let length = unit
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(unit.len());
        let seconds = match &unit[..length] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number * seconds;
        rest = &unit[length..];
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(total).ok())
        .flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("32s", 32.0),
            ("1m30s", 90.0),
            ("0", 0.0),
            ("1.5s", 1.5),
            ("300ms", 0.3),
            ("1h", 3600.0),
        ];
        for (text, seconds) in cases {
            assert_eq!(
                go_duration(text),
                Some(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in ["", "3", "s", "-1s", "1x", "1e400s", "1.2.3s", "NaNs"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn empty_pairs_and_unknown_parameters_are_ignored() {
        let query = Query::parse("&limit=500&&pretty=true&resourceVersion=");
        assert_eq!(query.limit().unwrap(), Some(500));
        assert_eq!(query.resource_version().unwrap(), None);
        assert_eq!(Query::parse("limit=0").limit().unwrap(), None);
    }

    #[test]
    fn numbers_and_switches() {
        let query = Query::parse("limit=-1&timeoutSeconds=-1&watch&a=0&b=FALSE&c=x&timeout=-1s");
        assert_eq!(query.limit().unwrap(), None);
        assert_eq!(query.timeout_seconds().unwrap(), Some(Duration::ZERO));
        assert_eq!(query.timeout().unwrap(), None);
        let flags = ["watch", "a", "b", "c", "d"].map(|name| query.flag_if_set(name));
        assert_eq!(
            flags,
            [Some(true), Some(false), Some(false), Some(true), None]
        );
        let forever = Query::parse(&format!("timeoutSeconds={}", i64::MAX));
        assert_eq!(forever.timeout_seconds().unwrap(), Some(LONGEST_WATCH));
    }

    #[test]
    fn wrong_values_are_refused() {
        let message = |text: &str| {
            let query = Query::parse(text);
            let numbers = query.limit().map(drop).and(query.timeout().map(drop));
            let read = numbers.and(query.resource_version().map(drop));
            read.unwrap_err().to_string()
        };
        let cases = [
            ("limit=", r#"strconv.ParseInt: parsing "": invalid syntax"#),
            (
                "limit=x",
                r#"strconv.ParseInt: parsing "x": invalid syntax"#,
            ),
            (
                "limit=9223372036854775808",
                r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#,
            ),
            (
                "timeout=1",
                r#"invalid timeout specified in the request URL - time: invalid duration "1""#,
            ),
            (
                "resourceVersion=-1",
                r#"invalid resource version: resourceVersion: Invalid value: "-1": strconv.ParseUint: parsing "-1": invalid syntax"#,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(message(text), expected, "{text}");
        }
        assert!(Query::parse("dryRun=Some").dry_run().is_err());
        assert!(Query::parse("dryRun=All").dry_run().unwrap());
        let strict = Query::parse("fieldValidation=strict");
        assert!(strict.field_validation().is_err());
    }
}
