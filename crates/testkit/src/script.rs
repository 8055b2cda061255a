//! Which answer is next: routes, each with its queue.

use std::collections::VecDeque;

use crate::answer::Answer;
use crate::request::Request;

/// The answers that a test gave an origin.
#[derive(Debug, Default)]
pub(crate) struct Script {
    routes: Vec<(Route, VecDeque<Answer>)>,
}

/// `"/path"`, `"METHOD /path"`, with a query or without, `*` at the end for any rest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    method: Option<String>,
    target: String,
}

impl Script {
    pub(crate) fn on(&mut self, route: &str, answer: Answer) {
        let route = Route::parse(route);
        match self.routes.iter_mut().find(|(known, _)| *known == route) {
            Some((_, answers)) => answers.push_back(answer),
            None => self.routes.push((route, VecDeque::from([answer]))),
        }
    }

    pub(crate) fn replace(&mut self, route: &str, answer: Answer) {
        let parsed = Route::parse(route);
        self.routes.retain(|(known, _)| *known != parsed);
        self.on(route, answer);
    }

    /// The answer for this request. The most exact route that still has one wins.
    pub(crate) fn next(&mut self, request: &Request) -> Option<Answer> {
        let (_, answers) = self
            .routes
            .iter_mut()
            .filter(|(route, answers)| !answers.is_empty() && route.matches(request))
            .max_by_key(|(route, _)| route.exactness())?;
        match answers.front()? {
            last if answers.len() == 1 && !last.once => Some(last.clone()),
            _ => answers.pop_front(),
        }
    }
}

impl Route {
    fn parse(text: &str) -> Self {
        match text.split_once(' ') {
            Some((method, target)) => Self { method: Some(method.to_owned()), target: target.trim().to_owned() },
            None => Self { method: None, target: text.to_owned() },
        }
    }

    fn matches(&self, request: &Request) -> bool {
        let wanted = match self.target.contains('?') {
            true => request.target.as_str(),
            false => request.path(),
        };
        let target = match self.target.strip_suffix('*') {
            // `OPTIONS *` is the one target that is a star itself.
            Some(start) => wanted.starts_with(start) || wanted == self.target,
            None => wanted == self.target,
        };
        target && self.method.as_ref().is_none_or(|method| *method == request.method)
    }

    fn exactness(&self) -> (bool, usize, bool) {
        (!self.target.ends_with('*'), self.target.len(), self.method.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(script: &mut Script, method: &str, target: &str) -> Option<u16> {
        let request = Request { method: method.into(), target: target.into(), ..Request::default() };
        script.next(&request).map(|answer| answer.status)
    }

    #[test]
    fn queues_end_with_a_repeat_or_with_nothing() {
        let mut script = Script::default();
        script.on("/a", Answer::status(201));
        script.on("/a", Answer::status(202));
        script.on("/b", Answer::status(203).once());
        let of_a: Vec<_> = (0..3).map(|_| status(&mut script, "GET", "/a")).collect();
        assert_eq!(of_a, [Some(201), Some(202), Some(202)]);
        assert_eq!(status(&mut script, "GET", "/b"), Some(203));
        assert_eq!(status(&mut script, "GET", "/b"), None);
        script.replace("/a", Answer::status(200));
        assert_eq!(status(&mut script, "GET", "/a"), Some(200));
    }

    #[test]
    fn the_most_exact_route_wins() {
        let mut script = Script::default();
        script.on("*", Answer::status(200));
        script.on("/a/*", Answer::status(201));
        script.on("/a/b", Answer::status(202));
        script.on("PURGE /a/b", Answer::status(203));
        script.on("/a/b?x=1", Answer::status(204));
        for (method, target, wanted) in [
            ("GET", "/z", 200),
            ("GET", "/a/c?x=1", 201),
            ("GET", "/a/b?y", 202),
            ("PURGE", "/a/b", 203),
            ("GET", "/a/b?x=1", 204),
            ("OPTIONS", "*", 200),
        ] {
            assert_eq!(status(&mut script, method, target), Some(wanted), "{method} {target}");
        }
    }
}
