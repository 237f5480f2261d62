//! The threads that convert what the reading threads read.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

type Task = Box<dyn FnOnce() + Send>;

/// Tasks in the queue for each worker.
const TASKS_PER_WORKER: usize = 2;

/// Stack size of a worker. Rendering nested lists recurses; this is far more than their bounded depth
/// needs.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Gives tasks to the workers. Tasks never wait, so whoever gives one waits for a bounded time.
#[derive(Clone)]
pub(super) struct Workers {
    queue: SyncSender<Task>,
    count: usize,
}

/// The result of a task.
pub(super) struct Pending<T>(Receiver<T>);

impl<T> Pending<T> {
    /// Waits for the task; none if it panicked.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl Workers {
    /// Calls `work` with `count` workers, which end after it. The error is that of a thread which cannot be
    /// started.
    pub(super) fn with<T>(count: usize, work: impl FnOnce(Workers) -> T) -> std::io::Result<T> {
        let count = count.max(1);
        let (queue, tasks) = sync_channel::<Task>(TASKS_PER_WORKER * count);
        let tasks = Arc::new(Mutex::new(tasks));
        std::thread::scope(|scope| {
            // It is dropped here in any case, so that the workers end.
            let queue = Workers { queue, count };
            for _ in 0..count {
                let tasks = Arc::clone(&tasks);
                std::thread::Builder::new()
                    .name("convert".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, move || take(&tasks))?;
            }
            // Only the workers receive now. If they all panic, giving a task fails; it does not wait.
            drop(tasks);
            Ok(work(queue))
        })
    }

    /// The number of workers.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Gives a task; waits while the queue is full.
    pub(super) fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, result) = sync_channel(1);
        let task = move || {
            // Whoever has stopped does not receive the result.
            let _ = sender.send(task());
        };
        // Where all workers have panicked, the task is dropped, and with it the sender of the result.
        let _ = self.queue.send(Box::new(task));
        Pending(result)
    }
}

fn take(tasks: &Mutex<Receiver<Task>>) {
    loop {
        // The lock is held only while a task is received, so a task that panics does not poison it.
        let Ok(queue) = tasks.lock() else { return };
        let Ok(task) = queue.recv() else { return };
        drop(queue);
        task();
    }
}
