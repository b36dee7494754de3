//! The pool of sessions, and the loan of one session.
//!
//! It is Sexton's own, because of what happens to a session whose work was given up: the driver's pool asks the server
//! whether such a session is still in order, without a time limit, and a silent server keeps it for ever. Here a session
//! returns to the pool only from a finished statement, outside a transaction. All others are closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sea_orm::{ConnAcquireErr, DbErr, ExecResult, QueryResult, Statement, sqlx};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    driver,
    limits::Limits,
    options::ConnectOptions,
    target::{Opened, Target},
    waits::Waits,
};
use crate::store::error::class;

/// The time limit of a test of an idle session, and of a rollback.
const TEST_TIMEOUT: Duration = Duration::from_secs(3);
/// A session is closed after this much life.
const MAX_LIFE: Duration = Duration::from_secs(1_800);
/// Sessions with one database.
#[derive(Debug)]
pub struct SessionPool {
    target: Target,
    limits: Limits,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<IdleSession>>,
    /// Rises when all sessions of the moment are given up: they lead to a server that only reads, or that stops.
    generation: AtomicU64,
    statements: Arc<StatementCounts>,
    waits: Waits,
    /// Since when no session was free in time; none while one was.
    starved_since: Mutex<Option<Instant>>,
    /// When the database last answered a statement, of this pool or of a dedicated one beside it.
    answered: Arc<Mutex<Option<Instant>>>,
}

/// An open session, and what is known of it.
struct IdleSession {
    opened: Opened,
    generation: u64,
    since: Instant,
    idle_since: Instant,
}

impl std::fmt::Debug for IdleSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdleSession").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// The statements since the start, of a pool and of the dedicated ones beside it.
#[derive(Debug, Default)]
pub struct StatementCounts {
    sent: AtomicU64,
    /// How long they took.
    micros: AtomicU64,
}

impl StatementCounts {
    fn note(&self, took: Duration) {
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The loan of a session.
pub(super) struct Loan {
    pool: Arc<SessionPool>,
    open: Option<IdleSession>,
    /// A statement is under way. If the loan ends now, nobody knows what the session will answer next.
    is_busy: bool,
    is_in_transaction: bool,
    /// What a nested transaction left to be undone before the next statement.
    undo: Option<String>,
    permit: Option<OwnedSemaphorePermit>,
}

impl SessionPool {
    pub fn new(target: Target, options: &ConnectOptions, statements: Arc<StatementCounts>) -> Arc<Self> {
        let limits = Limits::of_pool(matches!(target, Target::Sqlite(..)), options);
        let waits = Waits::new(target.clone());
        Self::with_limits(target, limits, statements, Arc::default(), waits)
    }

    /// A pool with one session of its own, and this time limit for everything.
    pub fn dedicated(&self, limit: Duration) -> Arc<Self> {
        let limits = Limits::dedicated(limit);
        Self::with_limits(
            self.target.clone(),
            limits,
            self.statements.clone(),
            self.answered.clone(),
            self.waits.clone(),
        )
    }

    fn with_limits(
        target: Target,
        limits: Limits,
        statements: Arc<StatementCounts>,
        answered: Arc<Mutex<Option<Instant>>>,
        waits: Waits,
    ) -> Arc<Self> {
        Arc::new(Self {
            waits,
            target,
            limits,
            permits: Arc::new(Semaphore::new(limits.sessions as usize)),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
            statements,
            starved_since: Mutex::new(None),
            answered,
        })
    }

    /// The database.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The number of statements sent since the start.
    pub fn statements(&self) -> u64 {
        self.statements.sent.load(Ordering::Relaxed)
    }

    /// How long the database took to answer statements, all together.
    pub fn statement_time(&self) -> Duration {
        Duration::from_micros(self.statements.micros.load(Ordering::Relaxed))
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Duration {
        self.limits.statement
    }

    pub(super) fn count_statement(&self) {
        self.statements.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// The waits of the pool's statements.
    pub(super) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Whether no session was free for longer than any statement may take, although the database answers others.
    pub fn is_stuck(&self) -> bool {
        let is_starved = self.starved_since.lock().is_some_and(|since| since.elapsed() > self.limits.statement * 2);
        is_starved && self.answered.lock().is_some_and(|at| at.elapsed() <= self.limits.statement)
    }

    /// Opens one session past the limits, and closes it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn probe(&self) -> Result<(), DbErr> {
        self.open().await.map(|_| ())
    }

    async fn open(&self) -> Result<Opened, DbErr> {
        Ok(self.target.open(self.limits.at_the_server(), self.limits.connect).await?)
    }

    /// Lends a session: an idle one, or a new one.
    ///
    /// # Errors
    /// If no session is free in time, or a new one cannot be opened.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Loan, DbErr> {
        let Ok(Ok(permit)) = timeout(self.limits.acquire, self.permits.clone().acquire_owned()).await else {
            self.starved_since.lock().get_or_insert_with(Instant::now);
            return Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
        };
        *self.starved_since.lock() = None;
        let open = loop {
            let Some(mut open) = self.take_idle() else {
                let generation = self.generation.load(Ordering::Acquire);
                let opened = self.open().await?;
                break IdleSession { opened, generation, since: Instant::now(), idle_since: Instant::now() };
            };
            if open.idle_since.elapsed() < self.limits.test_after_idle()
                || matches!(timeout(TEST_TIMEOUT, open.opened.session.ping()).await, Ok(Ok(())))
            {
                break open;
            }
        };
        let pool = self.clone();
        Ok(Loan { pool, open: Some(open), is_busy: false, is_in_transaction: false, undo: None, permit: Some(permit) })
    }

    /// An idle session that may be used. Those that may not are closed.
    fn take_idle(&self) -> Option<IdleSession> {
        let mut idle = self.idle.lock();
        while let Some(open) = idle.pop() {
            if !self.is_current(&open) || open.idle_since.elapsed() > self.limits.max_idle() {
                continue;
            }
            let Some(change) = open.opened.file.and_then(|opened| self.target.file()?.change_since(opened)) else {
                return Some(open);
            };
            self.waits.note_file(change);
        }
        None
    }

    fn is_current(&self, open: &IdleSession) -> bool {
        open.generation == self.generation.load(Ordering::Acquire)
    }

    fn give_back(&self, mut open: IdleSession) {
        let is_old = open.since.elapsed() > MAX_LIFE && open.opened.file.is_none() && self.limits.sessions > 1;
        if !is_old && self.is_current(&open) {
            open.idle_since = Instant::now();
            let mut idle = self.idle.lock();
            idle.retain(|open| open.idle_since.elapsed() <= self.limits.max_idle());
            idle.push(open);
        }
    }

    /// Closes all sessions of the moment: the idle ones at once, the others when they come back.
    fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.idle.lock().clear();
    }
}

/// Does something in the session of a loan, within the time limit for statements.
macro_rules! limited {
    ($loan:ident, $what:expr, |$session:ident| $work:expr) => {{
        let undo = $loan.undo.take();
        let pool = $loan.pool.clone();
        let Some(open) = $loan.open.as_mut() else { return Err(closed()) };
        $loan.is_busy = true;
        let (number, $session) = (open.opened.number.clone(), &mut open.opened.session);
        let working = async {
            if let Some(undo) = &undo {
                $session.batch(undo).await?;
            }
            $work.await
        };
        let begun = Instant::now();
        let result = pool.waits.watch($what, number, pool.limits.statement, working).await;
        pool.statements.note(begun.elapsed());
        $loan.is_busy = false;
        $loan.judge(result.as_ref().err());
        result
    }};
}

impl Loan {
    pub(super) fn pool(&self) -> &Arc<SessionPool> {
        &self.pool
    }

    /// Runs a statement with its parameters.
    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<ExecResult, sqlx::Error> {
        limited!(self, &statement.sql, |session| session.execute(statement))
    }

    /// Returns the rows of a query.
    pub(super) async fn all(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, sqlx::Error> {
        limited!(self, &statement.sql, |session| session.all(statement))
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<ExecResult, sqlx::Error> {
        limited!(self, sql, |session| session.batch(sql))
    }

    /// Closes the session if its answer leaves it in doubt.
    fn judge(&mut self, error: Option<&sqlx::Error>) {
        if error.is_some_and(|error| class(error).closes_session()) {
            self.open = None;
            // A server that only reads, stops or is silent does so to all sessions.
            self.pool.renew();
        } else {
            *self.pool.answered.lock() = Some(Instant::now());
        }
    }

    /// From now on the session must end its transaction before anybody else uses it.
    pub(super) fn set_in_transaction(&mut self, is_in_transaction: bool) {
        self.is_in_transaction = is_in_transaction;
    }

    /// Has something undone before the next statement.
    pub(super) fn undo_later(&mut self, sql: String) {
        self.undo = Some(sql);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let (pool, permit) = (self.pool.clone(), self.permit.take());
        let Some(mut open) = self.open.take().filter(|_| !self.is_busy) else { return };
        if !self.is_in_transaction {
            return pool.give_back(open);
        }
        driver::spawn(async move {
            // What cannot be rolled back is closed: SQLite may have rolled back already, and would work on unseen.
            if matches!(timeout(TEST_TIMEOUT, open.opened.session.batch("ROLLBACK")).await, Ok(Ok(_))) {
                pool.give_back(open);
            }
            drop(permit);
        });
    }
}

/// The session was closed in the middle of a transaction.
fn closed() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::NotConnected,
        "the connection was closed after an earlier statement of the transaction",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(sessions: u32) -> Arc<SessionPool> {
        let target = Target::parse(&ConnectOptions::new("sqlite::memory:")).expect("a target");
        let short = Duration::from_millis(50);
        let mut limits = Limits::dedicated(Duration::from_secs(5));
        (limits.sessions, limits.acquire, limits.statement) = (sessions, short, short);
        let waits = Waits::new(target.clone());
        SessionPool::with_limits(target, limits, Arc::default(), Arc::default(), waits)
    }

    fn on_a_runtime<F: Future<Output = ()>>(test: F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(driver::on_driver(test));
    }

    #[test]
    fn a_pool_without_sessions_beside_a_database_that_answers_is_stuck() {
        on_a_runtime(async {
            let pool = pool(1);
            let lost = pool.lend().await.expect("a session");
            let beside = pool.dedicated(Duration::from_secs(5));
            let mut is_stuck = false;
            while !is_stuck {
                assert!(pool.lend().await.is_err(), "no session is free");
                beside.lend().await.expect("one beside").batch("SELECT 1").await.expect("an answer");
                is_stuck = pool.is_stuck();
            }
            drop(lost);
            let _found = pool.lend().await.expect("it is back");
            assert!(!pool.is_stuck());
        });
    }

    #[test]
    fn only_finished_sessions_return() {
        on_a_runtime(async {
            let pool = pool(3);
            pool.lend().await.expect("a session").batch("SELECT 1").await.expect("an answer");
            assert_eq!(pool.idle.lock().len(), 1, "a finished one");
            let mut loan = pool.lend().await.expect("a session");
            loan.is_busy = true;
            drop(loan);
            assert_eq!(pool.idle.lock().len(), 0, "one that was given up");
            let mut loan = pool.lend().await.expect("a session");
            loan.set_in_transaction(true);
            drop(loan);
            // There is no transaction to be rolled back: SQLite has ended it by itself, and the session is in doubt.
            let all = pool.permits.clone().acquire_many_owned(3).await.expect("all permits");
            assert_eq!(pool.idle.lock().len(), 0, "one that cannot be rolled back");
            drop(all);
        });
    }
}
