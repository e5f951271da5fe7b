//! Lists and maps that remember whether they were never set (`null`) or set to nothing (`[]`, `{}`).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! nullable {
    ($(#[$doc:meta])* $name:ident<$($param:ident),*>, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name<$($param),*> {
            inner: $inner,
            set: bool,
        }

        impl<$($param),*> $name<$($param),*> {
            /// Never set: sent as `null`.
            pub const fn null() -> Self {
                Self { inner: <$inner>::new(), set: false }
            }

            /// Set, to nothing: sent as empty.
            pub const fn empty() -> Self {
                Self { inner: <$inner>::new(), set: true }
            }

            /// Whether it is sent as `null`.
            pub fn is_null(&self) -> bool {
                !self.set && self.inner.is_empty()
            }

            /// The content alone; `null` is the same as empty.
            pub fn into_inner(self) -> $inner {
                self.inner
            }
        }

        impl<$($param),*> Default for $name<$($param),*> {
            fn default() -> Self {
                Self::null()
            }
        }

        impl<$($param),*> Deref for $name<$($param),*> {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.inner
            }
        }

        impl<$($param),*> DerefMut for $name<$($param),*> {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.inner
            }
        }

        impl<$($param),*> From<$inner> for $name<$($param),*> {
            fn from(inner: $inner) -> Self {
                Self { inner, set: true }
            }
        }

        impl<$($param: PartialEq),*> PartialEq for $name<$($param),*> {
            fn eq(&self, other: &Self) -> bool {
                self.inner == other.inner && self.is_null() == other.is_null()
            }
        }

        impl<$($param: Eq),*> Eq for $name<$($param),*> {}

        impl<$($param: fmt::Debug),*> fmt::Debug for $name<$($param),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.is_null() { f.write_str("null") } else { self.inner.fmt(f) }
            }
        }

        impl<$($param: Serialize),*> Serialize for $name<$($param),*> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if self.is_null() { serializer.serialize_none() } else { self.inner.serialize(serializer) }
            }
        }
    };
}

nullable! {
    /// A list that may be `null`. Reads as a [`Vec`]; pushing to it makes it set.
    List<T>, Vec<T>
}

nullable! {
    /// A map that may be `null`. Reads as a [`BTreeMap`]; inserting into it makes it set.
    Map<K, V>, BTreeMap<K, V>
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Vec<T>>::deserialize(deserializer)?.map_or_else(Self::null, Self::from))
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Map<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<BTreeMap<K, V>>::deserialize(deserializer)?.map_or_else(Self::null, Self::from))
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        BTreeMap::from_iter(entries).into()
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.iter()
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = std::collections::btree_map::IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::collections::btree_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.iter()
    }
}

/// `{}`: the value of keys whose presence is all that counts. Anything is accepted in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Empty;

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Empty;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an empty object")
            }

            fn visit_unit<E>(self) -> Result<Empty, E> {
                Ok(Empty)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Empty, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Empty)
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

/// Reads a list that may also be written as one string, as `Cmd` and `Entrypoint` may.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<List<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<OneOrMany>::deserialize(deserializer)? {
        None => List::null(),
        Some(OneOrMany::One(one)) => List::from(vec![one]),
        Some(OneOrMany::Many(many)) => List::from(many),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_and_empty_are_told_apart() {
        for text in ["null", "[]", r#"["a"]"#] {
            let list: List<String> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&list).unwrap(), text);
        }
        for text in ["null", "{}", r#"{"a":{}}"#] {
            let map: Map<String, Empty> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&map).unwrap(), text);
        }
    }

    #[test]
    fn what_is_filled_is_no_longer_null() {
        let mut list = List::null();
        assert!(list.is_null());
        list.push(1);
        assert_eq!(serde_json::to_string(&list).unwrap(), "[1]");
    }
}
