//! Responses of origins: heads, lengths, chunks and trailers are read the same in whatever pieces they come.
//!
//! Input: the size of a piece, the kind of request, then the bytes of a connection.

#![no_main]

use bytes::{Bytes, BytesMut};
use copal_origin::{HeadReader, Piece};
use http::Method;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use libfuzzer_sys::fuzz_target;

const MAX_HEAD: usize = 4 << 10;

/// What was read of a connection: heads, contents, trailers and, at last, why it ended.
fn read(bytes: &[u8], piece: usize, method: &Method) -> Vec<String> {
    let (mut told, mut data) = (Vec::new(), Vec::new());
    let (mut input, mut reader, mut content) = (BytesMut::new(), HeadReader::new(MAX_HEAD), None);
    for part in bytes.chunks(piece) {
        input.extend_from_slice(part);
        loop {
            let Some(reading) = &mut content else {
                match reader.read(&mut input) {
                    Ok(None) => break,
                    Err(error) => {
                        told.push(format!("{error:?}"));
                        return told;
                    }
                    Ok(Some(head)) => {
                        // Two ways to find the end would be read in two ways.
                        assert!(!(head.headers.contains_key(CONTENT_LENGTH) && head.headers.contains_key(TRANSFER_ENCODING)));
                        told.push(format!("{head:?}"));
                        match head.content(method) {
                            Ok(found) => content = Some(found),
                            Err(what) => {
                                told.push(what.to_owned());
                                return told;
                            }
                        }
                        continue;
                    }
                }
            };
            let mut rest: Bytes = input.split().freeze();
            let end = reading.end_in(&rest);
            let length = rest.len();
            let next = reading.next(&mut rest);
            let over = matches!(next, Ok(Piece::End | Piece::Trailers(_)));
            if over {
                assert_eq!(end, Some(length - rest.len()), "it ends where it was said to end");
                assert!(reading.is_whole() && reading.clone().closed());
            }
            input.extend_from_slice(&rest);
            match next {
                Ok(Piece::Data(bytes)) => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(&bytes);
                }
                Ok(Piece::More) => {
                    assert!(rest.is_empty());
                    break;
                }
                Ok(Piece::Trailers(fields)) => told.push(format!("{fields:?}")),
                Ok(Piece::End) => {}
                Err(what) => {
                    told.push(what.to_owned());
                    return told;
                }
            }
            if over {
                told.push(format!("{:?}", std::mem::take(&mut data)));
                content = None;
            }
        }
    }
    told.push(format!("{data:?}"));
    told
}

fuzz_target!(|input: &[u8]| {
    let [piece, kind, bytes @ ..] = input else { return };
    let method = if kind % 2 == 0 { Method::GET } else { Method::HEAD };
    let at_once = read(bytes, bytes.len().max(1), &method);
    assert_eq!(at_once, read(bytes, 1, &method));
    assert_eq!(at_once, read(bytes, usize::from(*piece).max(1), &method));
});
