// Words of texts and their stems. words.py says what a word and a stem are.
#pragma once

#include <Python.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace stems {

inline constexpr Py_UCS4 kCurlyApostrophe = 0x2019;
inline constexpr std::string_view kCurly = "\xe2\x80\x99";  // the same in UTF-8

// ASCII letters in small and digits; 0 for what no word is made of.
inline constexpr std::array<char, 128> kFolded = [] {
  std::array<char, 128> folded{};
  for (char one = '0'; one <= '9'; ++one) folded[static_cast<size_t>(one)] = one;
  for (char one = 'a'; one <= 'z'; ++one) folded[static_cast<size_t>(one)] = folded[static_cast<size_t>(one - 'a' + 'A')] = one;
  return folded;
}();

// Of scripts without blanks between words: words.py's `_UNSPACED`.
inline constexpr std::array<std::pair<Py_UCS4, Py_UCS4>, 8> kUnspaced{{{0x3040, 0x30ff},
                                                                {0x3400, 0x4dbf},
                                                                {0x4e00, 0x9fff},
                                                                {0xac00, 0xd7ff},
                                                                {0xf900, 0xfaff},
                                                                {0x0e00, 0x0eff},
                                                                {0x1000, 0x109f},
                                                                {0x1780, 0x17ff}}};

inline bool is_unspaced(Py_UCS4 character) {
  if (character < 0x0e00) return false;
  return std::any_of(kUnspaced.begin(), kUnspaced.end(),
                     [=](const auto& range) { return range.first <= character && character <= range.second; });
}

// What a word has for a character, an ASCII letter in small; 0 for what no word of a script with blanks is made of.
inline Py_UCS4 folded(Py_UCS4 character) {
  if (character < kFolded.size()) return static_cast<unsigned char>(kFolded[character]);
  return Py_UNICODE_ISALNUM(character) && !is_unspaced(character) ? character : 0;
}

inline bool is_apostrophe(Py_UCS4 character) { return character == '\'' || character == kCurlyApostrophe; }

inline void append(std::string& word, Py_UCS4 character) {
  const auto byte = [&word](Py_UCS4 value) { word.push_back(static_cast<char>(value)); };
  if (character < 0x80) return byte(character);
  if (character < 0x800) {
    byte(0xc0 | character >> 6);
  } else if (character < 0x10000) {
    byte(0xe0 | character >> 12);
    byte(0x80 | (character >> 6 & 0x3f));
  } else {
    byte(0xf0 | character >> 18);
    byte(0x80 | (character >> 12 & 0x3f));
    byte(0x80 | (character >> 6 & 0x3f));
  }
  byte(0x80 | (character & 0x3f));
}

inline bool ends_with(std::string_view word, std::string_view ending) {
  return word.size() >= ending.size() && word.compare(word.size() - ending.size(), ending.size(), ending) == 0;
}

inline void strip_possessive(std::string& word) {
  if (word.size() < 3 || word.back() != 's') return;
  const std::string_view before(word.data(), word.size() - 1);
  if (before.back() == '\'') {
    word.resize(before.size() - 1);
  } else if (ends_with(before, kCurly)) {
    word.resize(before.size() - kCurly.size());
  }
}

struct Ending {
  std::string_view ending, instead;
};

inline constexpr std::array<Ending, 8> kEndings{
    {{"ies", "y"}, {"sses", "ss"}, {"ing", ""}, {"edly", ""}, {"ed", ""}, {"es", ""}, {"s", ""}, {"ly", ""}}};

inline void strip_ending(std::string& word) {
  if (const char last = word.back(); last != 's' && last != 'g' && last != 'd' && last != 'y') return;
  for (const auto& [ending, instead] : kEndings) {
    if (word.size() < ending.size() + 3 || !ends_with(word, ending)) continue;
    if (ending == "s" && (ends_with(word, "ss") || ends_with(word, "us") || ends_with(word, "is"))) return;
    word.replace(word.size() - ending.size(), ending.size(), instead);
    return;
  }
}

// The stem of a word in small letters: words.py's `stem`, in place.
inline void stem(std::string& word) {
  strip_possessive(word);
  if (word.size() <= 3 || (word[0] >= '0' && word[0] <= '9')) return;
  if (std::any_of(word.begin(), word.end(), [](char byte) { return static_cast<signed char>(byte) < 0; })) return;
  strip_ending(word);
  const char last = word.back();
  if (word.size() > 3 && last == word[word.size() - 2] && last != 'l' && last != 's' && last != 'z') word.pop_back();
  if (word.size() > 3 && word.back() == 'e') word.pop_back();
}

// Gives a run without blanks to `found` as its overlapping pairs of characters; where it ends.
template <class Character, class Found>
size_t each_pair(const Character* text, size_t size, size_t at, std::string& word, Found found) {
  size_t end = at;
  while (end < size && is_unspaced(text[end])) ++end;
  do {
    word.clear();
    append(word, text[at]);
    if (at + 1 < end) append(word, text[at + 1]);
    found(word);
  } while (++at + 1 < end);
  return end;
}

// Gives the stem of each word of a text in small letters to `found`; those in ASCII may be in capitals.
template <class Character, class Found>
void each_stem(const Character* text, size_t size, Found found) {
  std::string word;
  for (size_t at = 0; at < size;) {
    if (!folded(text[at])) {
      at = is_unspaced(text[at]) ? each_pair(text, size, at, word, found) : at + 1;
      continue;
    }
    word.clear();
    for (bool joined = false; at < size; ++at) {
      if (const Py_UCS4 letter = folded(text[at])) {
        append(word, letter);
      } else if (!joined && is_apostrophe(text[at]) && at + 1 < size && folded(text[at + 1])) {
        append(word, text[at]);
        joined = true;
      } else {
        break;
      }
    }
    stem(word);
    found(word);
  }
}

template <class Found>
void each_stem(PyObject* text, Found found) {
  const auto size = static_cast<size_t>(PyUnicode_GET_LENGTH(text));
  const void* data = PyUnicode_DATA(text);
  switch (PyUnicode_KIND(text)) {
    case PyUnicode_1BYTE_KIND:
      return each_stem(static_cast<const Py_UCS1*>(data), size, found);
    case PyUnicode_2BYTE_KIND:
      return each_stem(static_cast<const Py_UCS2*>(data), size, found);
    default:
      return each_stem(static_cast<const Py_UCS4*>(data), size, found);
  }
}

}  // namespace stems
