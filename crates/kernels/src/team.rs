//! Threads for tasks of microseconds.
//!
//! Decoding a token takes some fifty products of tens to hundreds of microseconds, one after the
//! other. A sleeping thread needs tens of microseconds to wake up. The threads of a team therefore
//! spin for a while before they sleep.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::level::Level;

/// How long a thread spins before it sleeps: longer than the time between two products of a token,
/// and short enough to soon free the processor.
const SPIN_TIME: Duration = Duration::from_micros(200);

/// Iterations between two looks at the clock. A thread offers the processor to others as often.
const SPINS: usize = 64;

/// Threads that share tasks. The calling thread is one of them.
///
/// A task goes to whichever thread is free, so its result must not depend on the thread.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held while tasks run.
    running: Mutex<()>,
}

struct Worker {
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

type Job<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    /// The number of the job in the upper half, and the number of its unclaimed tasks in the lower
    /// half.
    claims: AtomicU64,
    /// The job of that number: a `Job` on the stack of the caller.
    job: AtomicPtr<()>,
    /// Tasks of the job that have ended.
    ended: AtomicUsize,
    panicked: AtomicBool,
    leaving: AtomicBool,
    /// Threads that sleep or are about to.
    sleeping: AtomicUsize,
}

impl Team {
    /// A team of `threads` threads; 0 counts as 1. It uses the level in use on this thread.
    ///
    /// Has fewer threads if the system refuses some.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            claims: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            ended: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
        });
        let level = Level::current();
        let worker = |index| {
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("decode-{index}"));
            let work = move || {
                level.use_on_this_thread();
                shared.work();
            };
            let handle = builder.spawn(work).ok()?;
            Some(Worker {
                thread: handle.thread().clone(),
                handle: Some(handle),
            })
        };
        let workers = (1..threads).map_while(worker).collect();
        Self {
            shared,
            workers,
            running: Mutex::new(()),
        }
    }

    /// The number of threads, including the calling one.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once with each number below `tasks`, on all threads, and waits for the end.
    ///
    /// # Panics
    /// If a task panics, after all tasks have ended. A task must not call `run` of its own team.
    pub fn run(&self, tasks: usize, task: Job<'_>) {
        if tasks <= 1 || self.workers.is_empty() {
            return (0..tasks).for_each(task);
        }
        // A panic of a task leaves nothing half done.
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        let number = (shared.claims.load(Ordering::Relaxed) >> 32).wrapping_add(1) as u32;
        let count = u32::try_from(tasks).expect("fewer than 2^32 tasks");
        shared.ended.store(0, Ordering::Relaxed);
        let job = &raw const task;
        shared.job.store(job.cast_mut().cast(), Ordering::Relaxed);
        let claims = u64::from(number) << 32 | u64::from(count);
        shared.claims.store(claims, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            self.workers
                .iter()
                .for_each(|worker| worker.thread.unpark());
        }
        shared.claim_tasks(number);
        let mut spins = 0;
        while shared.ended.load(Ordering::Acquire) < tasks {
            wait(&mut spins);
        }
        if shared.panicked.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("a task of a team panicked"));
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.leaving.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            if let Some(handle) = worker.handle.take() {
                // Workers catch the panics of tasks.
                let _ = handle.join();
            }
        }
    }
}

impl Shared {
    /// Runs tasks of a job until all are claimed.
    fn claim_tasks(&self, number: u32) {
        loop {
            let claims = self.claims.load(Ordering::Acquire);
            let unclaimed = claims as u32;
            if (claims >> 32) as u32 != number || unclaimed == 0 {
                return;
            }
            let job = self
                .job
                .load(Ordering::Relaxed)
                .cast_const()
                .cast::<Job<'_>>();
            let claimed = self.claims.compare_exchange_weak(
                claims,
                claims - 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            if claimed.is_err() {
                continue;
            }
            // SAFETY: this task of the job was unclaimed until now, so `run` still waits for it.
            // The pointer belongs to this job: it changes for the next one, after all tasks of this
            // one have ended.
            let job = unsafe { *job };
            let index = unclaimed as usize - 1;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(index))) {
                self.panicked.store(true, Ordering::Relaxed);
                // No panic may leave this function before the task counts as ended. Dropping a
                // panic's payload can panic too.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                    std::mem::forget(panic);
                }
            }
            self.ended.fetch_add(1, Ordering::Release);
        }
    }

    /// The loop of a worker.
    fn work(&self) {
        let (mut spins, mut idle_since) = (0, None);
        while !self.leaving.load(Ordering::Relaxed) {
            let claims = self.claims.load(Ordering::Acquire);
            if claims as u32 > 0 {
                self.claim_tasks((claims >> 32) as u32);
                (spins, idle_since) = (0, None);
            } else if wait(&mut spins) {
                let since = *idle_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SPIN_TIME {
                    self.sleep();
                    (spins, idle_since) = (0, None);
                }
            }
        }
    }

    fn sleep(&self) {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        // A caller that brings work after this look sees that this thread sleeps.
        if self.claims.load(Ordering::SeqCst) as u32 == 0 && !self.leaving.load(Ordering::SeqCst) {
            thread::park();
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for one iteration. True after every [`SPINS`] iterations, when it has also offered the
/// processor to other threads.
fn wait(spins: &mut usize) -> bool {
    *spins += 1;
    if spins.is_multiple_of(SPINS) {
        thread::yield_now();
        return true;
    }
    std::hint::spin_loop();
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for threads in [0, 1, 2, 5] {
            let team = Team::new(threads);
            assert_eq!(team.threads(), threads.max(1));
            for round in 0..300 {
                let tasks = round % 17;
                let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                team.run(tasks, &|index| {
                    done[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                if round % 100 == 99 {
                    thread::sleep(4 * SPIN_TIME);
                }
            }
        }
    }

    #[test]
    fn several_callers_take_turns() {
        let (team, sum) = (Team::new(3), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        team.run(10, &|index| {
                            sum.fetch_add(index, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 200 * 45);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_team_whole() {
        let team = Team::new(2);
        let panicking = || team.run(8, &|index| assert!(index != 3, "three"));
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        let count = AtomicUsize::new(0);
        team.run(8, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 8);
    }
}
