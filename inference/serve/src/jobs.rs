//! Jobs, each a request of the batch, from the call that wants it to its end; and orders to the batch's owner.

use alloc::collections::{BTreeMap, VecDeque};

use embodios_engine::batch::Request;
use embodios_net::Connection;

/// Number of a job, which no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What the batch's owner is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Submit a request, and say whether it was taken.
    Submit {
        /// The job.
        job: JobId,
        /// Its request.
        request: Request,
    },
    /// Cancel a request that was submitted.
    Cancel {
        /// Its job.
        job: JobId,
    },
}

/// One job.
#[derive(Debug)]
pub struct Job {
    /// The connection whose call wants it; `None` once nobody does.
    pub wanted_by: Option<Connection>,
    /// Which of the call's choices it is.
    pub choice: usize,
    /// Tokens of its prompt.
    pub prompt: usize,
    /// Tokens made.
    pub made: usize,
    /// Whether the owner has its order.
    is_taken: bool,
}

/// All jobs that are not over.
#[derive(Debug, Default)]
pub struct Jobs {
    jobs: BTreeMap<JobId, Job>,
    orders: VecDeque<Order>,
    next: u64,
    /// Requests that are active in the batch, as its owner last said.
    active: usize,
}

impl Jobs {
    pub fn add(&mut self, connection: Connection, choice: usize, request: Request) -> JobId {
        let job = JobId(self.next);
        self.next += 1;
        let prompt = request.prompt.len();
        let wanted_by = Some(connection);
        self.jobs.insert(job, Job { wanted_by, choice, prompt, made: 0, is_taken: false });
        self.orders.push_back(Order::Submit { job, request });
        job
    }

    pub fn get_mut(&mut self, job: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(&job)
    }

    pub fn remove(&mut self, job: JobId) -> Option<Job> {
        self.jobs.remove(&job)
    }

    pub fn take_order(&mut self) -> Option<Order> {
        let order = self.orders.pop_front()?;
        if let Order::Submit { job, .. } = order
            && let Some(job) = self.jobs.get_mut(&job)
        {
            job.is_taken = true;
        }
        Some(order)
    }

    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// Has a job ended, which nobody wants any more, unless it is over. Result: whether it never was the batch's.
    pub fn cancel(&mut self, job: JobId) -> bool {
        let Some(Job { wanted_by, is_taken, .. }) = self.jobs.get_mut(&job) else { return false };
        *wanted_by = None;
        if *is_taken {
            self.orders.push_back(Order::Cancel { job });
            return false;
        }
        self.orders.retain(|order| !matches!(order, Order::Submit { job: other, .. } if *other == job));
        self.jobs.remove(&job).is_some()
    }

    pub const fn set_active(&mut self, active: usize) {
        self.active = active;
    }

    pub fn active(&self) -> usize {
        self.active.min(self.jobs.len())
    }

    /// Jobs that wait for a place in the batch.
    pub fn waiting(&self) -> usize {
        self.jobs.len() - self.active()
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.jobs.iter().map(|(&id, job)| (id, job))
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.orders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_was_not_taken_is_never_the_batchs() {
        let mut jobs = Jobs::default();
        let request = || Request::greedy([1, 2].into(), 3);
        let [first, second] = [0, 1].map(|choice| jobs.add(Connection(7), choice, request()));
        assert_eq!((jobs.waiting(), jobs.active()), (2, 0));
        assert_eq!(jobs.take_order(), Some(Order::Submit { job: first, request: request() }));
        jobs.set_active(1);
        assert!(!jobs.cancel(first));
        assert!(jobs.cancel(second));
        assert!(!jobs.cancel(second));
        assert_eq!(jobs.take_order(), Some(Order::Cancel { job: first }));
        assert_eq!(jobs.take_order(), None);
        assert!(!jobs.is_empty());
        assert_eq!((jobs.waiting(), jobs.active()), (0, 1));
        assert_eq!(jobs.remove(first).unwrap().wanted_by, None);
        assert!(jobs.is_empty() && jobs.active() == 0);
    }
}
