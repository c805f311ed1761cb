# Reads one help text of the command and writes what -v mode asks for:
#
#   commands  NAME <tab> SUMMARY, for each row below "commands:"
#   options   NAMES <tab> ARGUMENT <tab> DESCRIPTION, NAMES joined by commas
#   values    ARGUMENT <tab> WORDS, for each argument of an option whose description lists what it can be
#   operands  the usage's words that are not options or their arguments
#   synopsis  the usage, as roff
#   man       everything else, as roff (commands and exit status apart, with -v main=1)
#   status    what stands behind "exit status:", as roff
#
# A help text is blocks with an empty line between them: "usage:" first, then paragraphs, which may
# have indented lines in them, and indented lists, which may have a heading that ends in a colon. A
# list has rows of two columns, two spaces or more apart, or one behind an option that fills the
# first; what is indented further goes on. Below "examples:" and "try it" there are lines to type.
#
# A description lists what its argument can be behind a colon ("from where ...: device, local or
# public; ..."). Of an argument with two parts, NAME=NUMBER, this is the first; behind "HOW ... is", a
# sentence about the second, it is that one. What stands in parentheses, and what is more than one
# word, is a remark.

# ---- Text ----

# Every `from` in s becomes `to`; unlike gsub, nothing in either has a meaning.
function swap(s, from, to, out, at) {
  while ((at = index(s, from)) > 0) {
    out = out substr(s, 1, at - 1) to
    s = substr(s, at + length(from))
  }
  return out s
}

# Text that roff shows as it is.
function escape(s) {
  s = swap(s, "\\", "\\e")
  s = swap(s, "'", "\\(aq")
  s = swap(s, "`", "\\(ga")
  s = swap(s, "~", "\\(ti")
  s = swap(s, "^", "\\(ha")
  return s ~ /^\./ ? "\\&" s : s
}

function literal(s) {
  return swap(escape(s), "-", "\\-")
}

# A paragraph's line: options have minus signs, not hyphens.
function prose(s, words, n, i, out) {
  n = split(s, words, " ")
  for (i = 1; i <= n; i++)
    out = out (i > 1 ? " " : "") (words[i] ~ /^[("]*-/ ? literal(words[i]) : escape(words[i]))
  return out
}

# A row's left column: what stands for something else is slanted, what is typed is bold.
function term(s, words, n, i, out) {
  n = split(s, words, " ")
  for (i = 1; i <= n; i++) {
    out = out (i > 1 ? " " : "")
    if (words[i] ~ /^[A-Z][A-Z0-9|-]*$/)
      out = out "\\fI" literal(words[i]) "\\fR"
    else
      out = out "\\fB" literal(words[i]) "\\fR"
  }
  return out
}

function capital(s) {
  return toupper(substr(s, 1, 1)) substr(s, 2)
}

function indent(s) {
  match(s, /^ */)
  return RLENGTH
}

# ---- Blocks ----

# Takes the lines from `first` to `last` apart into row_term, row_text and `rows`.
function read_rows(first, last, i, s, depth) {
  rows = 0
  depth = indent(line[first])
  for (i = first; i <= last; i++) {
    s = substr(line[i], indent(line[i]) + 1)
    if (indent(line[i]) > depth && rows) {
      row_text[rows] = row_text[rows] (row_text[rows] == "" ? "" : " ") s
    } else if (match(s, /^-[^ ]*( -[^ ]*)* [A-Z][A-Z0-9=|-]* [^ ]/)) {
      row_term[++rows] = substr(s, 1, RLENGTH - 2)
      row_text[rows] = substr(s, RLENGTH)
    } else if (match(s, /  +/)) {
      row_term[++rows] = substr(s, 1, RSTART - 1)
      row_text[rows] = substr(s, RSTART + RLENGTH)
    } else {
      row_term[++rows] = s
      row_text[rows] = ""
    }
  }
}

function is_heading(i, last) {
  return i < last && line[i] ~ /^[^ ].*:$/ && line[i + 1] ~ /^ /
}

function is_typed(heading) {
  return heading ~ /^(examples?|try)/
}

function is_list(first, last, i) {
  for (i = first; i <= last; i++)
    if (line[i] ~ /^ *-/ || line[i] ~ /^ +[^ ].*[^ ]  +[^ ]/) return 1
  return 0
}

# ---- Output ----

function print_lines(first, last, i, depth) {
  depth = indent(line[first])
  print ".PP\n.RS 4\n.EX"
  for (i = first; i <= last; i++) print literal(substr(line[i], depth + 1))
  print ".EE\n.RE"
}

function print_list(first, last, i) {
  read_rows(first, last)
  for (i = 1; i <= rows; i++)
    printf ".TP\n%s\n%s\n", term(row_term[i]), (row_text[i] == "" ? "\\&" : prose(row_text[i]))
}

function print_paragraph(first, last, i, start) {
  print ".PP"
  for (i = first; i <= last; i++) {
    if (line[i] !~ /^ /) {
      print prose(i == first ? capital(line[i]) : line[i])
      continue
    }
    for (start = i; i < last && line[i + 1] ~ /^ /;) i++
    print_lines(start, i)
    if (i < last) print ".PP"
  }
}

function print_block(first, last, heading) {
  if (line[first] ~ /^exit status:/ && main) return
  if (is_heading(first, last)) {
    heading = line[first]
    if (heading == "commands:" && main) return
    printf ".PP\n%s\n", prose(capital(heading))
    first++
  }
  if (line[first] !~ /^ /)
    print_paragraph(first, last)
  else if (!is_typed(heading) && is_list(first, last))
    print_list(first, last)
  else
    print_lines(first, last)
}

function print_status(first, last, i) {
  for (i = first; i <= last; i++) {
    if (i == first) sub(/^exit status: */, "", line[i])
    print prose(i == first ? capital(line[i]) : line[i])
  }
}

# NAMES, ARGUMENT and DESCRIPTION of a row that has options in its left column; or what its argument
# can be.
function print_options(s, text, words, n, i, names, name) {
  n = split(s, words, " ")
  for (i = 1; i <= n; i++) {
    if (words[i] !~ /^-/) continue
    name = words[i]
    sub(/,$/, "", name)
    names = names (names == "" ? "" : ",") name
    known[name] = 1
  }
  if (names == "") return
  if (mode == "options")
    printf "%s\t%s\t%s\n", names, (words[n] ~ /^-/ ? "" : words[n]), text
  else if (words[n] !~ /^-/ && (s = words_of(words[n], text)) ~ / /)
    printf "%s\t%s\n", words[n], s
}

# The words that an argument can be, with a '=' where its other part stands; "" when none are listed.
function words_of(argument, text, part, parts, second, items, n, i, list) {
  gsub(/\([^()]*\)/, "", text)
  parts = split(argument, part, "=")
  second = parts == 2 && match(text, part[2] " [a-z ]*is ")
  if (!second && !match(text, / *: +/)) return ""
  text = substr(text, RSTART + RLENGTH)
  sub(/[;.].*/, "", text)
  n = split(text, items, ",")
  for (i = 1; i <= n; i++) list = list listed(items[i], second ? "=" : "", parts == 2 && !second ? "=" : "")
  return substr(list, 2)
}

# The words of one item of such a list, "A", "A and B" or "or A", each between two others; "" of a
# remark.
function listed(item, before, after, word, n, i, list, count, joints) {
  n = split(item, word, " ")
  for (i = 1; i <= n; i++) {
    if (word[i] ~ /^(and|or)$/) {
      joints++
      continue
    }
    if (word[i] !~ /^[a-z][a-z0-9~-]*$/ || ++count > joints + 1) return ""
    list = list " " before word[i] after
  }
  return list
}

# Goes through the usage's words: options are printed unless a list has told of them, operands when
# they are asked for.
function read_usage(operands, words, n, i, s) {
  n = split(usage, words, " ")
  for (i = 3; i <= n; i++) {
    s = words[i]
    gsub(/[].[]/, "", s)
    if (s ~ /^-/) {
      if (words[i] !~ /\]$/ && i < n) {
        i++
        gsub(/[].[]/, "", words[i])
        s = s " " words[i]
      }
      split(s, pair, " ")
      if (!operands && !(pair[1] in known)) print_options(s, "")
    } else if (operands && s != "" && s != "OPTIONS") {
      print s
    }
  }
}

{ line[NR] = $0 }

END {
  line[NR + 1] = ""
  for (first = 1; first <= NR; first = last + 2) {
    for (last = first; line[last + 1] != "" && last < NR;) last++
    if (line[first] == "") {
      last = first - 1
      continue
    }
    if (line[first] ~ /^usage:/) {
      for (i = first; i <= last; i++) {
        sub(/^usage: */, "", line[i])
        sub(/^ +/, "", line[i])
        usage = usage (i > first ? " " : "") line[i]
        if (mode == "synopsis") printf "%s%s\n", (i > first ? ".br\n" : ""), term(line[i])
      }
    } else if (mode == "man") {
      print_block(first, last)
    } else if (mode == "status") {
      if (line[first] ~ /^exit status:/) print_status(first, last)
    } else if (mode == "commands" || mode == "options" || mode == "values") {
      heading = ""
      if (is_heading(first, last)) heading = line[first++]
      if (line[first] !~ /^ / || is_typed(heading)) continue
      read_rows(first, last)
      for (i = 1; i <= rows; i++)
        if (mode != "commands")
          print_options(row_term[i], row_text[i])
        else if (heading == "commands:")
          printf "%s\t%s\n", row_term[i], row_text[i]
    }
  }
  if (mode == "options") read_usage(0)
  if (mode == "operands") read_usage(1)
}
