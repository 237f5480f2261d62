//! Threads for work that takes microseconds.
//!
//! Decoding a token is some fifty products of tens to hundreds of microseconds, one after the other.
//! A thread that sleeps between them takes tens of microseconds to wake up; these look out for the
//! next work for a while before they go to sleep.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::level::Level;

/// How long a thread looks out for work before it sleeps: longer than what lies between two products
/// of a decoded token, short enough to leave the processor to others soon.
const PATIENCE: Duration = Duration::from_micros(200);

/// Looks before the clock is read, and before the processor is offered to other threads.
const LOOKS: usize = 64;

/// A number of threads that share tasks, the calling one among them.
///
/// Tasks go to whichever thread comes first, so results must not depend on who computes what.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held while tasks are under way.
    turn: Mutex<()>,
}

struct Worker {
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

type Job<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    /// The number of the job in the upper half, the tasks that no one has claimed in the lower one.
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
    /// A team of `threads` threads; 0 counts as 1.
    ///
    /// Threads that the system refuses are done without.
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
            turn: Mutex::new(()),
        }
    }

    /// The number of threads, the calling one among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` with each number below `tasks` once, on all threads, and waits for the end.
    ///
    /// # Panics
    /// If a task panics, after all have ended. A task may not call `run` of its own team.
    pub fn run(&self, tasks: usize, task: Job<'_>) {
        if tasks <= 1 || self.workers.is_empty() {
            return (0..tasks).for_each(task);
        }
        // Nothing is left half done when a task panics.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut looks = 0;
        while shared.ended.load(Ordering::Acquire) < tasks {
            wait(&mut looks);
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
                // A worker catches the panics of its tasks.
                let _ = handle.join();
            }
        }
    }
}

impl Shared {
    /// Does tasks of a job until no one is left that is not claimed.
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
            // SAFETY: a task of this job was not claimed until now, so `run` still waits for it, and
            // the pointer is that of this job: it only changes for the next one, after all tasks of
            // this one have ended.
            let job = unsafe { *job };
            let index = unclaimed as usize - 1;
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job(index))) {
                // Dropping the payload could panic too, before the task counts as ended.
                std::mem::forget(payload);
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.ended.fetch_add(1, Ordering::Release);
        }
    }

    /// The life of a thread.
    fn work(&self) {
        let (mut looks, mut idle_since) = (0, None);
        while !self.leaving.load(Ordering::Relaxed) {
            let claims = self.claims.load(Ordering::Acquire);
            if claims as u32 > 0 {
                self.claim_tasks((claims >> 32) as u32);
                (looks, idle_since) = (0, None);
            } else if wait(&mut looks) {
                let since = *idle_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    self.sleep();
                    (looks, idle_since) = (0, None);
                }
            }
        }
    }

    fn sleep(&self) {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        // Whoever brings work after this look sees that someone sleeps.
        if self.claims.load(Ordering::SeqCst) as u32 == 0 && !self.leaving.load(Ordering::SeqCst) {
            thread::park();
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One look; says whether many have passed, after which the processor was offered to others.
fn wait(looks: &mut usize) -> bool {
    *looks += 1;
    if looks.is_multiple_of(LOOKS) {
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
                    thread::sleep(4 * PATIENCE);
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
