//! Requests: what is answered by the head, what needs a body, and where each goes.

use embodios_api as api;
use embodios_http::{Head, Method};
use embodios_net::Connection;
use serde_json::json;

use crate::access;
use crate::errors;
use crate::peer::{Peer, Work};
use crate::reply::Reply;
use crate::routes::Route;
use crate::shared::Shared;

impl Shared<'_> {
    /// Takes a request's head: answers it, or has its body read.
    pub fn head(&mut self, peer: &mut Peer, head: &Head) {
        let reply = Reply::new(Some(head), &self.settings, &mut self.numbers);
        if head.method() == Method::Options {
            let answer = reply.preflight(head, self.clock);
            return self.answer(&mut peer.http, &answer, b"");
        }
        let route = Route::at(head.path());
        let is_public = route.as_ref().is_some_and(Route::is_public);
        if !is_public && !access::is_allowed(&self.settings.keys, head) {
            return self.error(&mut peer.http, &reply, &errors::no_key());
        }
        let Some(route) = route else {
            return self.error(&mut peer.http, &reply, &errors::not_found(head.path()));
        };
        if !route.takes(head.method()) {
            let error = errors::wrong_method(head.path(), route.methods());
            let answer = self.error_head(&reply, &error).with("allow", route.methods());
            return self.answer(&mut peer.http, &answer, &error.body());
        }
        if route.needs_model() && self.served.is_none() {
            return self.error(&mut peer.http, &reply, &errors::loading());
        }
        if head.method() != Method::Post {
            return self.read_only(peer, &route, reply, head.method());
        }
        if let Some(error) = self.refusal(peer, &route) {
            return self.error(&mut peer.http, &reply, &error);
        }
        match peer.http.accept(self.clock.now) {
            Ok(()) => {
                self.reserved = self.reserved.saturating_add(peer.http.reserved());
                peer.asking = Some((route, reply));
            }
            Err(fault) => self.error(&mut peer.http, &reply, &errors::of_http(fault)),
        }
    }

    /// The reason that a request with a body is not taken now.
    fn refusal(&self, peer: &Peer, route: &Route) -> Option<api::ApiError> {
        if *route == Route::Drain && self.settings.keys.is_empty() {
            return Some(errors::needs_keys());
        }
        if self.is_draining && route.is_work() {
            return Some(errors::draining());
        }
        if matches!(route, Route::Call(_)) && self.jobs.waiting() >= self.settings.waiting {
            return Some(errors::queue_full(self.jobs.waiting()));
        }
        let bodies = self.reserved.saturating_add(peer.http.reserved());
        (bodies > self.settings.bodies).then(errors::no_room)
    }

    /// Answers a request that reads.
    fn read_only(&mut self, peer: &mut Peer, route: &Route, reply: Reply, method: Method) {
        let http = &mut peer.http;
        match (route, &self.served) {
            (Route::Health, served) => {
                let (status, body) = health(served.is_some(), self.is_draining);
                self.json(http, &reply, status, body.as_bytes());
            }
            (Route::Version, _) => {
                let body = json!({ "name": "embodios", "version": env!("CARGO_PKG_VERSION") });
                self.json(http, &reply, 200, alloc::format!("{body}").as_bytes());
            }
            (Route::Page, _) => match self.settings.page {
                Some(page) => {
                    let answer = reply
                        .answer(200, self.clock)
                        .with("content-type", "text/html; charset=utf-8")
                        .with("cache-control", "no-cache")
                        .with("content-security-policy", page.policy)
                        .with("referrer-policy", "no-referrer")
                        .with("x-content-type-options", "nosniff");
                    self.answer(http, &answer, page.html);
                }
                None => self.error(http, &reply, &errors::not_found("/")),
            },
            (Route::Metrics, _) => peer.work = Work::Metrics(reply),
            // A stream without a body would never end.
            (Route::Events, _) if method == Method::Head || self.is_draining => {
                let answer = reply.answer(204, self.clock);
                self.answer(http, &answer, b"");
            }
            (Route::Events, _) => {
                self.stream(http, &reply, "");
                peer.work = Work::Watching { next: self.clock.now };
            }
            (Route::Models, Some(served)) => {
                let body = api::models(served);
                self.json(http, &reply, 200, &body);
            }
            (Route::Model(id), Some(served)) => {
                let result = api::model(served, id);
                self.result(peer, &reply, result);
            }
            (Route::Props, Some(served)) => {
                let body = api::props(served);
                self.json(http, &reply, 200, &body);
            }
            // Those without a model were answered, and the others have bodies.
            _ => self.error(http, &reply, &errors::loading()),
        }
    }

    /// Takes the body of the request that was accepted.
    pub fn body(&mut self, number: Connection, peer: &mut Peer, body: &[u8]) {
        let Some((route, reply)) = peer.asking.take() else { return };
        let Some(served) = &self.served else {
            return match route {
                Route::Drain => self.drain(peer, &reply),
                _ => self.error(&mut peer.http, &reply, &errors::loading()),
            };
        };
        let result = match route {
            Route::Call(endpoint) => return self.call(number, peer, endpoint, reply, body),
            Route::Drain => return self.drain(peer, &reply),
            Route::Tokenize => api::tokenize(served, body),
            Route::Detokenize => api::detokenize(served, body),
            Route::ApplyTemplate => api::apply_template(served, body),
            _ => api::embeddings(served, body),
        };
        self.result(peer, &reply, result);
    }

    fn drain(&mut self, peer: &mut Peer, reply: &Reply) {
        self.is_draining = true;
        self.json(&mut peer.http, reply, 200, br#"{"status":"draining"}"#);
    }

    /// Answers by a body, or by the error that there is instead.
    pub fn result(
        &mut self,
        peer: &mut Peer,
        reply: &Reply,
        result: Result<alloc::vec::Vec<u8>, api::ApiError>,
    ) {
        match result {
            Ok(body) => self.json(&mut peer.http, reply, 200, &body),
            Err(error) => self.error(&mut peer.http, reply, &error),
        }
    }
}

/// Status and body of `/health`, in the form that probes made for llama-server know.
const fn health(is_ready: bool, is_draining: bool) -> (u16, &'static str) {
    match (is_ready, is_draining) {
        (_, true) => (503, r#"{"error":{"code":503,"message":"Shutting down","type":"unavailable_error"}}"#),
        (false, _) => (503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#),
        (true, _) => (200, r#"{"status":"ok"}"#),
    }
}
