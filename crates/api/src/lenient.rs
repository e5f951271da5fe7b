//! JSON as Docker's decoder reads it.
//!
//! Go's `encoding/json` matches keys without regard to case, takes `null` for any type as "leave the default", and
//! ignores unknown keys. Clients have come to rely on all three.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Error, Value};

/// Reads a JSON document as leniently as Docker does; an error names the field.
pub fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    decode_value(&serde_json::from_slice(json)?)
}

/// As [`decode`], from a document that is parsed already.
pub fn decode_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

/// A deserializer that knows Go's rules.
#[derive(Clone, Copy)]
pub(crate) struct Lenient<'a>(pub(crate) &'a Value);

/// Calls the visitor with the type's default where the value is `null`, and deserializes as usual otherwise.
macro_rules! null_is_default {
    ($($method:ident => $visit:ident($default:expr)),* $(,)?) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                if self.0.is_null() { visitor.$visit($default) } else { self.deserialize_any(visitor) }
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = Error;

    null_is_default! {
        deserialize_bool => visit_bool(false),
        deserialize_i8 => visit_i8(0),
        deserialize_i16 => visit_i16(0),
        deserialize_i32 => visit_i32(0),
        deserialize_i64 => visit_i64(0),
        deserialize_u8 => visit_u8(0),
        deserialize_u16 => visit_u16(0),
        deserialize_u32 => visit_u32(0),
        deserialize_u64 => visit_u64(0),
        deserialize_f64 => visit_f64(0.0),
        deserialize_str => visit_str(""),
        deserialize_string => visit_str(""),
        deserialize_seq => visit_seq(Items(Default::default())),
        deserialize_map => visit_map(Entries::none()),
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(entries) => {
                visitor.visit_map(Entries::of(entries.iter().map(|(k, v)| (k.as_str(), v)).collect()))
            }
            plain => plain.clone().deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_map(Entries::none()),
            Value::Object(entries) => visitor.visit_map(Entries::of(known_fields(entries, fields))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_enum(<&str as IntoDeserializer<'_, Error>>::into_deserializer("")),
            value => value.clone().deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The entries that the type knows, each key in the type's own spelling, without those that are `null`.
fn known_fields<'a>(
    entries: &'a serde_json::Map<String, Value>,
    fields: &'static [&'static str],
) -> Vec<(&'a str, &'a Value)> {
    let mut known: Vec<(&str, &Value)> = Vec::with_capacity(entries.len());
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
        let exact = fields.iter().find(|field| *field == key);
        let Some(field) = exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(key))) else {
            continue;
        };
        match known.iter_mut().find(|(name, _)| name == field) {
            Some(slot) if exact.is_some() => slot.1 = value,
            Some(_) => {}
            None => known.push((*field, value)),
        }
    }
    known
}

struct Items<'a>(std::slice::Iter<'a, Value>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|value| seed.deserialize(Lenient(value))).transpose()
    }
}

struct Entries<'a> {
    rest: std::vec::IntoIter<(&'a str, &'a Value)>,
    current: Option<(&'a str, &'a Value)>,
}

impl<'a> Entries<'a> {
    fn of(entries: Vec<(&'a str, &'a Value)>) -> Self {
        Self { rest: entries.into_iter(), current: None }
    }

    fn none() -> Self {
        Self::of(Vec::new())
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        self.current.map(|(key, _)| seed.deserialize(StrDeserializer::<Error>::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.current.take().ok_or_else(|| Error::custom("a value was asked for before its key"))?;
        seed.deserialize(Lenient(value)).map_err(|error| Error::custom(under(key, &error.to_string())))
    }
}

/// `message`, with the path of the field that it is about put before it.
fn under(key: &str, message: &str) -> String {
    let continues = message.starts_with(|c: char| c.is_ascii_uppercase()) && !message.starts_with("Error");
    format!("{key}{}{message}", if continues { "." } else { ": " })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::List;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "PascalCase")]
    struct Inner {
        name: String,
        count: i64,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "PascalCase")]
    struct Outer {
        inner: Inner,
        list: List<String>,
        labels: BTreeMap<String, String>,
        on: bool,
        maybe: Option<u16>,
    }

    #[test]
    fn null_is_the_default_everywhere() {
        let text = r#"{"Inner":null,"List":null,"Labels":{"a":null},"On":null,"Maybe":null}"#;
        let outer: Outer = decode(text.as_bytes()).unwrap();
        assert_eq!(outer, Outer { labels: BTreeMap::from([("a".into(), String::new())]), ..Outer::default() });
    }

    #[test]
    fn keys_are_read_in_any_case_and_the_exact_one_wins() {
        let outer: Outer = decode(br#"{"inner":{"NAME":"x","Name":"y"},"LIST":["a"],"else":1}"#).unwrap();
        assert_eq!(outer.inner.name, "y");
        assert_eq!(*outer.list, ["a"]);
    }

    #[test]
    fn an_error_names_the_field() {
        let error = decode::<Outer>(br#"{"Inner":{"Count":"many"}}"#).unwrap_err().to_string();
        assert!(error.starts_with("Inner.Count: invalid type: string"), "{error}");
    }
}
