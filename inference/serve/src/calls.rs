//! Calls that make tokens: from the body to jobs of the batch, and from what comes of them to the answer.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use embodios_api::{ApiError, Call, Endpoint, Meta, Token};
use embodios_engine::batch::{Outcome, Refusal};
use embodios_net::Connection;

use crate::jobs::JobId;
use crate::peer::{Peer, Work};
use crate::reply::Reply;
use crate::server::Server;
use crate::shared::{Shared, with_ignored};

/// A call that runs.
pub struct Running {
    call: Call,
    reply: Reply,
    /// The job of each choice.
    jobs: Vec<JobId>,
    /// Jobs that the batch has not taken yet.
    missing: usize,
    /// Whether its stream has begun.
    has_begun: bool,
    /// When its stream's last event was made.
    pub last: u64,
}

impl Running {
    /// When its stream needs a sign of life, after so long a silence.
    pub const fn ping_at(&self, silence: u64) -> u64 {
        if self.has_begun { self.last.saturating_add(silence) } else { u64::MAX }
    }

    /// The fields that were ignored, as a header names them.
    fn ignored(&self) -> String {
        self.call.ignored().join(", ")
    }
}

impl Shared<'_> {
    /// Takes a call.
    pub fn call(
        &mut self,
        number: Connection,
        peer: &mut Peer,
        endpoint: Endpoint,
        reply: Reply,
        body: &[u8],
    ) {
        let Some(served) = &self.served else { return };
        let meta = Meta { id: self.numbers.next(), unix: self.clock.unix.unwrap_or(0) };
        let mut call = match Call::parse(served, endpoint, body, meta) {
            Ok(call) => call,
            Err(error) => return self.error(&mut peer.http, &reply, &error),
        };
        let requests = call.take_requests().into_iter().enumerate();
        let jobs: Vec<JobId> =
            requests.map(|(choice, request)| self.jobs.add(number, choice, request)).collect();
        let missing = jobs.len();
        let running = Running { call, reply, jobs, missing, has_begun: false, last: self.clock.now };
        peer.work = Work::Call(Box::new(running));
        self.settle(peer);
    }

    /// Begins the stream of a call that has none yet and wants one, once all its jobs are the batch's; ends a call that
    /// is over.
    fn settle(&mut self, peer: &mut Peer) {
        let Work::Call(running) = &mut peer.work else { return };
        let is_over = running.call.is_over();
        if running.call.streams() && !running.has_begun && (running.missing == 0 || is_over) {
            let ignored = running.ignored();
            self.stream(&mut peer.http, &running.reply, &ignored);
            running.has_begun = true;
            peer.tell(self.clock.now, |call, out| call.begin(out));
        }
        if !is_over {
            return;
        }
        let Some(running) = peer.take_call() else { return };
        self.cancel(&running);
        if running.call.streams() {
            peer.http.end_stream(self.clock.now);
            return;
        }
        let Some(served) = &self.served else { return };
        match running.call.answer(served) {
            Ok(body) => {
                let answer = running.reply.answer(200, self.clock).with("content-type", "application/json");
                self.answer(&mut peer.http, &with_ignored(answer, &running.ignored()), &body);
            }
            Err(error) => self.error(&mut peer.http, &running.reply, &error),
        }
    }

    /// Ends a call by an error.
    pub fn fail(&mut self, peer: &mut Peer, error: &ApiError) {
        let Some(running) = peer.take_call() else { return };
        self.cancel(&running);
        if running.has_begun {
            peer.event(&error.event(), self.clock.now);
            peer.http.end_stream(self.clock.now);
        } else {
            self.error(&mut peer.http, &running.reply, error);
        }
    }

    /// Has the jobs of a call end that are not over.
    pub fn cancel(&mut self, running: &Running) {
        for &job in &running.jobs {
            if self.jobs.cancel(job) {
                self.metrics.never_began();
            }
        }
    }
}

impl Peer {
    /// Lets a call make events.
    fn tell(&mut self, now: u64, make: impl FnOnce(&mut Call, &mut dyn FnMut(&str))) {
        let Work::Call(running) = &mut self.work else { return };
        let (http, is_slow) = (&mut self.http, &mut self.is_slow);
        make(&mut running.call, &mut |event| {
            running.last = now;
            *is_slow |= http.event(event.as_bytes(), now).is_err();
        });
    }
}

impl Server<'_> {
    /// Takes note that the batch has taken a job.
    pub fn accepted(&mut self, job: JobId) {
        let Self { peers, shared } = self;
        let wanted_by = shared.jobs.get_mut(job).and_then(|job| job.wanted_by);
        let Some(peer) = wanted_by.and_then(|number| peers.get_mut(&number)) else { return };
        if let Work::Call(running) = &mut peer.work {
            running.missing = running.missing.saturating_sub(1);
        }
        shared.settle(peer);
        shared.is_due = true;
    }

    /// Takes note that the batch has not taken a job.
    pub fn refused(&mut self, job: JobId, refusal: &Refusal) {
        let Self { peers, shared } = self;
        let Some(job) = shared.jobs.remove(job) else { return };
        shared.metrics.refused();
        let Some(peer) = job.wanted_by.and_then(|number| peers.get_mut(&number)) else { return };
        shared.fail(peer, &refusal.into());
        shared.is_due = true;
    }

    /// Takes note of a job's token.
    pub fn token(&mut self, job: JobId, token: Token<'_>) {
        let Self { peers, shared } = self;
        shared.metrics.generation_tokens += 1;
        let Some(job) = shared.jobs.get_mut(job) else { return };
        if job.made == 0 {
            shared.metrics.prompt_tokens += job.prompt as u64;
        }
        job.made += 1;
        let Some(peer) = job.wanted_by.and_then(|number| peers.get_mut(&number)) else { return };
        let Some(served) = &shared.served else { return };
        peer.tell(shared.clock.now, |call, out| call.token(served, job.choice, token, out));
        shared.is_due = true;
    }

    /// Takes note of a job's end.
    pub fn finished(&mut self, job: JobId, outcome: Outcome) {
        let Self { peers, shared } = self;
        shared.metrics.finished(&outcome);
        let Some(job) = shared.jobs.remove(job) else { return };
        let Some(peer) = job.wanted_by.and_then(|number| peers.get_mut(&number)) else { return };
        let Some(served) = &shared.served else { return };
        peer.tell(shared.clock.now, |call, out| call.finished(served, job.choice, outcome, out));
        shared.settle(peer);
        shared.is_due = true;
    }
}
