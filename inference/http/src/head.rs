//! The head of a request: method, target, version, headers.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::fault::Fault;
use crate::limits::HEADERS;
use crate::target;

/// Method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`: as `GET`, answered without the body.
    Head,
    /// `POST`.
    Post,
    /// `OPTIONS`.
    Options,
    /// Any other.
    Other,
}

/// Version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, and one request a connection.
    Old,
    /// HTTP/1.1.
    Current,
}

/// Head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    method: Method,
    path: String,
    query: Option<String>,
    version: Version,
    headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl Head {
    /// Reads a head with the empty line that ends it.
    ///
    /// # Errors
    /// When it is not one, has too many headers, or not the one `Host` that each request has.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes).map_err(fault)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => 0,
        };
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(Fault::Malformed("no request line"));
        };
        if length != bytes.len() {
            return Err(Fault::Malformed("the headers end before their empty line"));
        }
        let (path, query) = target::split(target)?;
        let headers = request.headers.iter().map(|header| (header.name.into(), header.value.into()));
        let head = Self {
            method: match method {
                "GET" => Method::Get,
                "HEAD" => Method::Head,
                "POST" => Method::Post,
                "OPTIONS" => Method::Options,
                _ => Method::Other,
            },
            path: path.to_owned(),
            query: query.map(str::to_owned),
            version: if version == 0 { Version::Old } else { Version::Current },
            headers: headers.collect(),
        };
        head.check_host()?;
        Ok(head)
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The path as it was sent; `*` for the whole server.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands behind the path's `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// The values of a header, whose name is compared without case, in order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// The members of a header that is a list, whatever number of lines it stands on.
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let members = self.headers(name).flat_map(|value| value.split(|&byte| byte == b','));
        members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    }

    fn check_host(&self) -> Result<(), Fault> {
        let mut hosts = self.headers("host");
        let is_right = |host: &[u8]| {
            host.iter().all(|&byte| byte.is_ascii_graphic() && !br#"/\?#@,<>"{}|^`"#.contains(&byte))
        };
        match (hosts.next(), hosts.next()) {
            (None, _) if self.version == Version::Old => Ok(()),
            (None, _) => Err(Fault::Malformed("no Host header")),
            (Some(_), Some(_)) => Err(Fault::Malformed("more than one Host header")),
            (Some(host), None) if is_right(host) => Ok(()),
            (Some(_), None) => Err(Fault::Malformed("a Host header that names no host")),
        }
    }
}

const fn fault(error: httparse::Error) -> Fault {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Fault::ManyHeaders(HEADERS),
        Error::HeaderName => Fault::Malformed("a header's name, or what stands around it"),
        Error::HeaderValue => Fault::Malformed("a header's value"),
        Error::Version => Fault::Malformed("its version is neither HTTP/1.1 nor HTTP/1.0"),
        _ => Fault::Malformed("its request line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn heads_are_read() {
        let bytes = b"POST /a?b HTTP/1.1\r\nHost: x:80\r\nX-A:\t1 \r\nx-a: 2,, 3\r\nempty:\r\n\r\n";
        let head = Head::parse(bytes).unwrap();
        assert_eq!((head.method(), head.path(), head.query()), (Method::Post, "/a", Some("b")));
        assert_eq!(head.version(), Version::Current);
        assert_eq!(head.header("X-a"), Some(&b"1"[..]));
        assert_eq!(head.list("x-A").collect::<Vec<_>>(), [b"1", b"2", b"3"]);
        assert_eq!(head.header("empty"), Some(&b""[..]));
        assert_eq!(head.header("absent"), None);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let host = "Host: x\r\n";
        for (line, headers) in [
            ("GET / HTTP/1.1", ""),
            ("GET / HTTP/1.1", "Host: x\r\nhost: x\r\n"),
            ("GET / HTTP/1.1", "Host: a b\r\n"),
            ("GET / HTTP/1.1", "Host: http://a/\r\n"),
            ("GET / HTTP/1.1", "Host: x\r\nname : value\r\n"),
            ("GET / HTTP/1.1", "Host: x\r\na: b\r\n folded\r\n"),
            ("GET / HTTP/1.1", " Host: x\r\n"),
            ("GET / HTTP/1.1", "Host: x\r\nno colon\r\n"),
            ("GET / HTTP/1.1", "Host: x\r\n: empty\r\n"),
            ("GET / HTTP/1.2", host),
            ("GET / HTTP/2.0", host),
            ("GET / http/1.1", host),
            ("GET / HTTP/1.1 ", host),
            ("GET /", host),
            ("GET  / HTTP/1.1", host),
            ("G(T / HTTP/1.1", host),
            (" GET / HTTP/1.1", host),
            ("GET /a b HTTP/1.1", host),
        ] {
            let error = Head::parse(format!("{line}\r\n{headers}\r\n").as_bytes());
            assert!(matches!(error, Err(Fault::Malformed(_))), "{line:?} {headers:?}: {error:?}");
        }
        assert!(Head::parse(b"GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn headers_are_counted() {
        let head =
            |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
        assert!(Head::parse(head(HEADERS).as_bytes()).is_ok());
        assert_eq!(Head::parse(head(HEADERS + 1).as_bytes()), Err(Fault::ManyHeaders(HEADERS)));
    }
}
