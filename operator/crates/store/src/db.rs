//! Connections, and the statements on objects and their log.
//!
//! Every statement that returns rows and a revision returns both from one snapshot.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, Connection, Row};

use crate::cache::{Change, Collections};
use crate::config::Config;
use crate::error::Error;
use crate::object::{Key, Object};
use crate::query::Selection;
use crate::text::Text;

/// The tables have `bigint`; revisions are never negative.
pub(crate) fn to_db(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn limit_to_db(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// See `to_db`.
pub(crate) fn from_db(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// How to make connections of the settings that the SQL relies on.
#[derive(Clone)]
pub(crate) struct Connector {
    options: PgConnectOptions,
    session: Arc<str>,
}

impl Connector {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(&config.database_url)
            .map_err(|e| {
                let form = "postgres://user@host/database or postgres:///database?host=/directory";
                Error::Database(format!("the database URL must look like {form}: {e}"))
            })?
            .application_name("obiente-operator")
            .disable_statement_logging();
        // Sent as a statement rather than as start-up options, which poolers refuse.
        let session = format!(
            "set statement_timeout = {}; set lock_timeout = {}; \
             set default_transaction_isolation = 'read committed'; \
             set idle_in_transaction_session_timeout = {}",
            config.statement_timeout.as_millis(),
            config.lock_timeout.as_millis(),
            config.statement_timeout.as_millis(),
        );
        Ok(Self {
            options,
            session: session.into(),
        })
    }

    /// A connection outside of the pool.
    pub(crate) async fn connect(&self, patience: Duration) -> Result<PgConnection, Error> {
        let connect = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            prepare_session(&mut connection, &self.session).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(patience, connect).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Error::Unavailable(format!(
                "no connection within {patience:?}"
            ))),
        }
    }

    /// A pool that connects when first used.
    pub(crate) fn pool(&self, max_connections: u32, patience: Duration) -> PgPool {
        let session = self.session.clone();
        PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(patience)
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { prepare_session(connection, &session).await })
            })
            .connect_lazy_with(self.options.clone())
    }
}

async fn prepare_session(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Where the store is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) revision: u64,
    pub(crate) compacted: u64,
    /// Microseconds since the epoch, by the clock of the database.
    pub(crate) micros: i64,
}

fn head_of(row: &PgRow) -> Result<Head, sqlx::Error> {
    Ok(Head {
        revision: from_db(row.try_get("head")?),
        compacted: from_db(row.try_get("compacted")?),
        micros: row.try_get("micros")?,
    })
}

const HEAD: &str = "s.revision as head, s.compact_revision as compacted, \
     (extract(epoch from clock_timestamp()) * 1000000)::bigint as micros";

/// Reads where the store is.
pub(crate) async fn head(pool: &PgPool) -> Result<Head, Error> {
    let sql = format!("select {HEAD} from store_state s");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(pool)
        .await?;
    Ok(head_of(&row)?)
}

/// Reads the identity of the control plane.
pub(crate) async fn cluster_uid(pool: &PgPool) -> Result<uuid::Uuid, Error> {
    Ok(sqlx::query_scalar("select cluster_uid from store_state")
        .fetch_one(pool)
        .await?)
}

/// Reads all objects and the revision at which they are true.
pub(crate) async fn load(pool: &PgPool) -> Result<(Head, Collections), Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    let sql = format!("select {HEAD} from store_state s");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut *transaction)
        .await?;
    let head = head_of(&row)?;
    let mut collections = Collections::new();
    let (mut resource, mut namespace) = (Arc::<str>::from(""), Arc::<str>::from(""));
    {
        let mut rows = sqlx::query(
            "select resource, namespace, name, revision, value::text as value
             from objects order by resource, namespace, name",
        )
        .fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            // Equal names share their memory.
            reuse(&mut resource, row.try_get("resource")?);
            reuse(&mut namespace, row.try_get("namespace")?);
            let key = Key::new(
                resource.clone(),
                namespace.clone(),
                row.try_get::<&str, _>("name")?,
            );
            let object = object_of(&row, key, "revision", "value")?;
            collections
                .entry(resource.clone())
                .or_default()
                .insert((namespace.clone(), object.key.name.clone()), object);
        }
    }
    transaction.commit().await?;
    Ok((head, collections))
}

fn reuse(shared: &mut Arc<str>, text: &str) {
    if **shared != *text {
        *shared = Arc::from(text);
    }
}

fn key_of(row: &PgRow) -> Result<Key, sqlx::Error> {
    Ok(Key::new(
        row.try_get::<&str, _>("resource")?,
        row.try_get::<&str, _>("namespace")?,
        row.try_get::<&str, _>("name")?,
    ))
}

fn object_of(row: &PgRow, key: Key, revision: &str, value: &str) -> Result<Arc<Object>, Error> {
    let text: String = row.try_get(value)?;
    Ok(Text::parse(text)?.into_object(key, from_db(row.try_get(revision)?)))
}

fn change_of(row: &PgRow) -> Result<Change, Error> {
    let deleted = row.try_get::<&str, _>("op")? == "delete";
    Ok(Change {
        object: object_of(row, key_of(row)?, "revision", "value")?,
        deleted,
    })
}

/// Most bytes of object text in a page of the log, but for its last row: versions of large objects
/// would be gigabytes by number alone.
const PAGE_BYTES: i64 = 8 << 20;

/// How many rows to ask for at first. Postgres reads all of them, to return those that fit.
pub(crate) const FIRST_PAGE: usize = 64;

/// How many rows to ask for after a page of so many.
pub(crate) fn next_page(rows: usize, most: usize) -> usize {
    (2 * rows).clamp(1, most)
}

/// Reads where the store is and changes after a revision, at most `limit` and `PAGE_BYTES`.
pub(crate) async fn tail(
    pool: &PgPool,
    after: u64,
    limit: usize,
) -> Result<(Head, Vec<Change>), Error> {
    let sql = format!(
        "select {HEAD}, l.* from store_state s
         left join lateral (
             select * from (
                 select *, sum(octet_length(value))
                     over (order by revision rows between unbounded preceding and 1 preceding) as before
                 from (
                     select revision, resource, namespace, name, op, value::text as value
                     from object_log where revision > $1 order by revision limit $2
                 ) page
             ) sized
             where coalesce(before, 0) < $3
         ) l on true
         order by l.revision"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_db(after))
        .bind(limit_to_db(limit))
        .bind(PAGE_BYTES)
        .fetch_all(pool)
        .await?;
    let Some(first) = rows.first() else {
        return Err(Error::Database("store_state has no row".into()));
    };
    let head = head_of(first)?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<i64>, _>("revision")?.is_some() {
            changes.push(change_of(row)?);
        }
    }
    Ok((head, changes))
}

/// One change read from the log, with what was there before.
pub(crate) struct Past {
    pub(crate) change: Change,
    pub(crate) previous: Option<Arc<Object>>,
}

/// Reads changes of a collection after one revision, up to another, at most `limit` and `PAGE_BYTES`; says
/// whether there are more.
pub(crate) async fn replay(
    pool: &PgPool,
    selection: &Selection,
    (after, until): (u64, u64),
    limit: usize,
) -> Result<(Head, Vec<Past>, bool), Error> {
    let sql = format!(
        "select {HEAD}, l.*
         from store_state s
         left join lateral (
             select * from (
                 select n.*, p.revision as old_revision, p.op as old_op, p.value as old_value,
                     sum(octet_length(n.value) + coalesce(octet_length(p.value), 0))
                         over (order by n.revision rows between unbounded preceding and 1 preceding) as before,
                     count(*) over () as found
                 from (
                     select revision, resource, namespace, name, op, value::text as value
                     from object_log
                     where revision > $1 and revision <= $2 and resource = $3
                         and ($4::text is null or namespace = $4)
                     order by revision limit $5
                 ) n
                 left join lateral (
                     select revision, op, value::text as value from object_log o
                     where o.resource = n.resource and o.namespace = n.namespace
                         and o.name = n.name and o.revision < n.revision
                     order by o.revision desc limit 1
                 ) p on true
             ) sized
             where coalesce(before, 0) < $6
         ) l on true
         order by l.revision"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_db(after))
        .bind(to_db(until))
        .bind(&*selection.resource)
        .bind(selection.namespace.as_deref())
        .bind(limit_to_db(limit))
        .bind(PAGE_BYTES)
        .fetch_all(pool)
        .await?;
    let Some(first) = rows.first() else {
        return Err(Error::Database("store_state has no row".into()));
    };
    let head = head_of(first)?;
    let found = first.try_get::<Option<i64>, _>("found")?.unwrap_or(0);
    let mut past = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<i64>, _>("revision")?.is_none() {
            continue;
        }
        let change = change_of(row)?;
        let previous = match row.try_get::<Option<&str>, _>("old_op")? {
            Some("put") => Some(object_of(
                row,
                change.object.key.clone(),
                "old_revision",
                "old_value",
            )?),
            _ => None,
        };
        past.push(Past { change, previous });
    }
    let more = found == limit_to_db(limit) || found > limit_to_db(past.len());
    Ok((head, past, more))
}

/// Reads at most `limit` objects of a collection as they were at a revision, in order, after a
/// place.
pub(crate) async fn list_at(
    pool: &PgPool,
    selection: &Selection,
    revision: u64,
    after: Option<&(Arc<str>, Arc<str>)>,
    limit: usize,
) -> Result<(Head, Vec<Arc<Object>>), Error> {
    let sql = format!(
        "select {HEAD}, l.* from store_state s
         left join lateral (
             select * from (
                 select distinct on (namespace, name)
                     resource, namespace, name, revision, op, value::text as value
                 from object_log
                 where resource = $1 and revision <= $2 and ($3::text is null or namespace = $3)
                     and ($4::text is null or (namespace, name) > ($4, $5))
                 order by namespace, name, revision desc
             ) newest
             where op = 'put' order by namespace, name limit $6
         ) l on true
         order by l.namespace, l.name"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&*selection.resource)
        .bind(to_db(revision))
        .bind(selection.namespace.as_deref())
        .bind(after.map(|(namespace, _)| &**namespace))
        .bind(after.map(|(_, name)| &**name))
        .bind(limit_to_db(limit))
        .fetch_all(pool)
        .await?;
    let Some(first) = rows.first() else {
        return Err(Error::Database("store_state has no row".into()));
    };
    let head = head_of(first)?;
    let mut objects = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<i64>, _>("revision")?.is_some() {
            objects.push(object_of(row, key_of(row)?, "revision", "value")?);
        }
    }
    Ok((head, objects))
}

/// Reads one object as it was at a revision.
pub(crate) async fn get_at(
    pool: &PgPool,
    key: &Key,
    revision: u64,
) -> Result<(Head, Option<Arc<Object>>), Error> {
    let sql = format!(
        "select {HEAD}, l.* from store_state s
         left join lateral (
             select revision, op, value::text as value from object_log
             where resource = $1 and namespace = $2 and name = $3 and revision <= $4
             order by revision desc limit 1
         ) l on true"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&*key.resource)
        .bind(&*key.namespace)
        .bind(&*key.name)
        .bind(to_db(revision))
        .fetch_one(pool)
        .await?;
    let object = match row.try_get::<Option<&str>, _>("op")? {
        Some("put") => Some(object_of(&row, key.clone(), "revision", "value")?),
        _ => None,
    };
    Ok((head_of(&row)?, object))
}
