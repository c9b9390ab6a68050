//! The functions that CEL rules can call: kube-cel's, and what it and its interpreter lack.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::extractors::This;
use kube_cel::cel::parser::{ParseErrors, Parser};
use kube_cel::cel::{Context, ExecutionError, FunctionContext, IdedExpr, Value as Cel};
use regex::Regex;

use super::optionals;

/// Patterns come from rules, which are few; those computed from objects only pass through.
const PATTERNS_MAX: usize = 256;

thread_local! {
    /// Registering the function library takes longer than most rules.
    static LIBRARY: Context<'static> = library();
    /// The library's own `matches` compiles its pattern at every call: up to a millisecond.
    static PATTERNS: RefCell<HashMap<Arc<String>, Regex>> = RefCell::default();
}

fn library() -> Context<'static> {
    let mut library = Context::default().with_all();
    library.add_function("matches", matches);
    library.add_function("bool", to_bool);
    library.add_function("dyn", |value: Cel| -> Result<Cel, ExecutionError> {
        Ok(value)
    });
    optionals::register(&mut library);
    // Types are values in CEL, which the interpreter lacks; rules on int-or-string fields need
    // them. A text that no value has by chance stands for each.
    let type_of = |value: Cel| -> Result<Cel, ExecutionError> {
        Ok(type_value(&value.type_of().to_string()))
    };
    library.add_function("type", type_of);
    for name in [
        "bool",
        "bytes",
        "double",
        "duration",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "timestamp",
        "uint",
    ] {
        library.add_variable_from_value(name, type_value(name));
    }
    library
}

fn type_value(name: &str) -> Cel {
    let name = match name {
        "float" => "double",
        "null" => "null_type",
        other => other,
    };
    Cel::String(Arc::new(format!("\u{0}type {name}")))
}

fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<bool, ExecutionError> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(compiled) = patterns.get(&pattern) {
            return Ok(compiled.is_match(&text));
        }
        let compiled = Regex::new(&pattern)
            .map_err(|error| ExecutionError::function_error("matches", error))?;
        let found = compiled.is_match(&text);
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(pattern, compiled);
        Ok(found)
    })
}

fn to_bool(call: &FunctionContext<'_, '_>, value: Cel) -> Result<Cel, ExecutionError> {
    match &value {
        Cel::Bool(_) => Ok(value),
        Cel::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Cel::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Cel::Bool(false)),
            _ => Err(call.error("type conversion error from 'string' to 'bool'")),
        },
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// Parses an expression.
pub(super) fn parse(expression: &str) -> Result<IdedExpr, ParseErrors> {
    Parser::default()
        .enable_optional_syntax(true)
        .parse(expression)
}

/// Whether `text` is a pattern for `matches`.
pub(super) fn is_pattern(text: &str) -> bool {
    Regex::new(text).is_ok()
}

/// Runs `work` with the library of this thread.
pub(super) fn with<T>(work: impl FnOnce(&Context<'static>) -> T) -> T {
    LIBRARY.with(work)
}
