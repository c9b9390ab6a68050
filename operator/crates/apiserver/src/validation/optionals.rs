//! What the interpreter lacks of optional values and of macros with two variables. Both are calls
//! whose last arguments are evaluated here, with their variables set.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, FunctionContext, Value as Cel};

type Result<T = Cel> = std::result::Result<T, ExecutionError>;

pub(super) fn register(library: &mut Context<'static>) {
    library.add_function("optMap", |call: &FunctionContext<'_, '_>| {
        Ok(optional(mapped(call)?))
    });
    library.add_function("optFlatMap", |call: &FunctionContext<'_, '_>| {
        Ok(mapped(call)?.unwrap_or_else(|| optional(None)))
    });
    library.add_function("all", |call: &FunctionContext<'_, '_>| any(call, false));
    library.add_function("exists", |call: &FunctionContext<'_, '_>| any(call, true));
    library.add_function("existsOne", |call: &FunctionContext<'_, '_>| {
        let mut found = 0;
        for (key, value) in pairs(call)? {
            found += u32::from(body(call, 2, &[key, value])? == Cel::Bool(true));
        }
        Ok(Cel::Bool(found == 1))
    });
    library.add_function("transformList", |call: &FunctionContext<'_, '_>| {
        let made = transformed(call)?.into_iter().map(|(_, value)| value);
        Ok(Cel::List(Arc::new(made.collect())))
    });
    library.add_function("transformMap", |call: &FunctionContext<'_, '_>| {
        let made = transformed(call)?.into_iter();
        let entries = made.map(|(key, value)| Ok((as_key(key)?, value)));
        Ok(map(entries.collect::<Result<_>>()?))
    });
    library.add_function("transformMapEntry", |call: &FunctionContext<'_, '_>| {
        let mut all = HashMap::new();
        for (_, entry) in transformed(call)? {
            let Cel::Map(entry) = entry else {
                return Err(ExecutionError::NoSuchOverload);
            };
            for (key, value) in entry.map.iter() {
                if all.insert(key.clone(), value.clone()).is_some() {
                    return Err(call.error(format!("insert failed: key {key} already exists")));
                }
            }
        }
        Ok(map(all))
    });
}

fn as_key(key: Cel) -> Result<Key> {
    Ok(match key {
        Cel::Int(key) => Key::Int(key),
        Cel::UInt(key) => Key::Uint(key),
        Cel::Bool(key) => Key::Bool(key),
        Cel::String(key) => Key::String(key),
        other => return Err(ExecutionError::UnsupportedKeyType(other)),
    })
}

fn map(map: HashMap<Key, Cel>) -> Cel {
    Cel::Map(Map { map: Arc::new(map) })
}

fn optional(value: Option<Cel>) -> Cel {
    let value = value.map_or_else(OptionalValue::none, OptionalValue::of);
    Cel::Opaque(Arc::new(value))
}

/// The argument `index` with the first arguments, which are names, set to `values`.
fn body(call: &FunctionContext<'_, '_>, index: usize, values: &[Cel]) -> Result {
    let mut scope = call.ptx.new_inner_scope();
    for (name, value) in call.args.iter().zip(values) {
        let Expr::Ident(name) = &name.expr else {
            return Err(ExecutionError::NoSuchOverload);
        };
        scope.add_variable_from_value(name.as_str(), value.clone());
    }
    let body = call.args.get(index).ok_or(ExecutionError::NoSuchOverload)?;
    Cel::resolve(body, &scope)
}

/// The value of an optional target, put through the function's second argument.
fn mapped(call: &FunctionContext<'_, '_>) -> Result<Option<Cel>> {
    let target = call.this.as_ref().ok_or(ExecutionError::NoSuchOverload)?;
    let found: &OptionalValue = target.try_into()?;
    let value = found.value().cloned();
    value.map(|value| body(call, 1, &[value])).transpose()
}

/// The items of a list with their places, or the keys of a map with their values.
fn pairs(call: &FunctionContext<'_, '_>) -> Result<Vec<(Cel, Cel)>> {
    match &call.this {
        Some(Cel::List(items)) => {
            let places = (0..).map(Cel::Int);
            Ok(places.zip(items.iter().cloned()).collect())
        }
        Some(Cel::Map(map)) => {
            let key = |key: &Key| match key {
                Key::Int(key) => Cel::Int(*key),
                Key::Uint(key) => Cel::UInt(*key),
                Key::Bool(key) => Cel::Bool(*key),
                Key::String(key) => Cel::String(key.clone()),
            };
            let all = map.map.iter();
            Ok(all
                .map(|(name, value)| (key(name), value.clone()))
                .collect())
        }
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// Is the body `stop` for any pair? Errors count only if it is not.
fn any(call: &FunctionContext<'_, '_>, stop: bool) -> Result {
    let mut failed = None;
    for (key, value) in pairs(call)? {
        match body(call, 2, &[key, value]) {
            Ok(Cel::Bool(found)) if found == stop => return Ok(Cel::Bool(stop)),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(Cel::Bool(!stop)), Err)
}

/// What is made of each pair; with four arguments, of those that the third holds for.
fn transformed(call: &FunctionContext<'_, '_>) -> Result<Vec<(Cel, Cel)>> {
    let mut made = Vec::new();
    for (key, value) in pairs(call)? {
        let values = [key, value];
        let filtered = call.args.len() == 4;
        if !filtered || body(call, 2, &values)? == Cel::Bool(true) {
            let result = body(call, call.args.len() - 1, &values)?;
            let [key, _] = values;
            made.push((key, result));
        }
    }
    Ok(made)
}

/// Makes `a[?"b"]` of every `a.?b`, and of every field of what may be absent: the interpreter fails
/// on absent fields otherwise. True when the value is optional.
pub(super) fn rewrite(expression: &mut IdedExpr) -> bool {
    match &mut expression.expr {
        Expr::Call(call) => {
            let on_optional = call.args.iter_mut().map(rewrite).collect::<Vec<_>>();
            call.target.iter_mut().for_each(|target| {
                rewrite(target);
            });
            match call.func_name.as_str() {
                "_?._" | "_[?_]" => {
                    call.func_name = "_[?_]".to_owned();
                    true
                }
                "_[_]" => on_optional.first() == Some(&true),
                _ => false,
            }
        }
        Expr::Select(select) => {
            let optional = rewrite(&mut select.operand) && !select.test;
            if optional {
                let field = LiteralValue::String(select.field.as_str().into());
                let key = IdedExpr {
                    id: expression.id,
                    expr: Expr::Literal(field),
                };
                let operand = std::mem::take(&mut *select.operand);
                expression.expr = Expr::Call(CallExpr {
                    func_name: "_[?_]".to_owned(),
                    target: None,
                    args: vec![operand, key],
                });
            }
            optional
        }
        Expr::List(list) => {
            list.elements.iter_mut().for_each(|element| {
                rewrite(element);
            });
            false
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    rewrite(&mut entry.key);
                    rewrite(&mut entry.value);
                }
            }
            false
        }
        Expr::Comprehension(loops) => {
            for part in [
                &mut loops.iter_range,
                &mut loops.accu_init,
                &mut loops.loop_cond,
                &mut loops.loop_step,
                &mut loops.result,
            ] {
                rewrite(part);
            }
            false
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => false,
    }
}
