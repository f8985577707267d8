#!/usr/bin/env bash
# Who may include whom, and what a rank's code may do. Usage: check.sh TREE. Prints each line that
# goes against the direction
#   sim <- model <- verify, viz <- cli, tests
# or does what it may not, and exits 1 if there is one.
set -euo pipefail
cd "$1"

found=0

# forbid PATH PATTERN WHY [ALLOWED]: no line of code at PATH, comments aside, may match PATTERN
# unless it matches ALLOWED.
forbid() {
  local path=$1 pattern=$2 why=$3 allowed=${4:-^$} lines
  [ -e "$path" ] || return 0
  # shellcheck disable=SC2016 # $0 is awk's
  lines=$(find "$path" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) -print0 | sort -z |
    PATTERN=$pattern ALLOWED=$allowed xargs -0 -r awk '{
      code = $0
      sub(/\/\/.*/, "", code)
      if (code ~ ENVIRON["PATTERN"] && code !~ ENVIRON["ALLOWED"]) print FILENAME ":" FNR ": " $0
    }')
  if [ -n "$lines" ]; then
    printf '%s\n  in %s: %s\n' "$lines" "$path" "$why"
    found=1
  fi
}

includes() { printf '^[ \\t]*#[ \\t]*include[ \\t]*["<](\\.\\./)*(%s)' "$1"; }

forbid sim "$(includes '(model|verify|viz|cli|tutorials|tests)/')" \
  'the machine knows nothing of transformers; move what it needs into sim/'
forbid model "$(includes '(verify|viz|cli|tutorials|tests)/')" \
  'a network knows nothing of who checks or draws it'
forbid verify "$(includes '(viz|cli|tutorials|tests)/')" 'the verifier draws nothing'
forbid viz "$(includes '(verify|cli|tutorials|tests)/')" 'pictures come from a ledger or a shard plan'
forbid cli "$(includes '(tutorials|tests)/')" 'the command knows nothing of its tests'

# What reads and writes bytes knows no transformer; a checkpoint may hold a tokenizer, not the reverse.
forbid model/files "$(includes 'model/')" 'files are read and written for any model' \
  "$(includes 'model/files/')"
forbid model/files '[Gg]pt' 'files are read and written for any model'
forbid model/tokenizers "$(includes 'model/')" 'a tokenizer needs files, and no checkpoint or network' \
  "$(includes 'model/(files|tokenizers)/')"

forbid model "$(includes '(omp\.h|thread|mutex|atomic|future|condition_variable|barrier|latch)[">]')" \
  'one rank runs this code; threads belong to sim/'
forbid model "$(includes '([^">]*(cuda|cublas|nccl)|mpi\.h)')" 'devices and networks belong to sim/'
for folder in model verify; do
  forbid "$folder" '"(cuda|cuda-host|nccl|mpi)"' \
    'what differs between devices or networks is asked of sim/ (sim/machine/backends.h), not told by name'
done
forbid model '#[ \t]*pragma[ \t]+omp|std::(thread|jthread|async|mutex|atomic)' \
  'one rank runs this code; threads belong to sim/'
forbid model '#[ \t]*(if|ifdef|ifndef|elif|else)([^a-z]|$)' \
  'the network is one text, whatever it runs on'

for folder in sim model verify viz cli; do
  forbid "$folder" '(\.|->)dump\(' 'JSON becomes text by json_text (model/files/json.h): dump() throws for a name that is not UTF-8' \
    'error_handler_t::replace|pickle\.dump'
done

# Ranks may be in other processes: a body returns what it has to say (sim/machine/world.h). One that
# has captured something and whose result nobody takes can only have written to that.
statement_that_drops_a_run() {
  local lines
  # shellcheck disable=SC2016 # $0 is awk's
  lines=$(find "$@" -type f \( -name '*.h' -o -name '*.cpp' \) -print0 | sort -z | xargs -0 -r awk '
    FNR == 1 { before = "" }
    {
      code = $0
      sub(/\/\/.*/, "", code)
      sub(/[ \t]+$/, "", code)
      if (code == "") next
      if (code ~ /^[ \t]*[A-Za-z_]([^={]|[{][^}]*[}])*(\.|->)(try_)?run(<[A-Za-z]+>)?\(\[[^]]/ &&
          code !~ /^[ \t]*(return|co_return) / && before ~ /(^|[;{}):])$/)
        print FILENAME ":" FNR ": " $0
      before = code
    }')
  if [ -n "$lines" ]; then
    printf '%s\n  %s\n' "$lines" \
      'a body that captures and returns nothing writes to what it captured; return it, and take the result'
    found=1
  fi
}
for folder in model verify viz cli; do
  [ ! -e "$folder" ] || statement_that_drops_a_run "$folder"
  forbid "$folder" '(rank_?|here)\.(global_)?index\(\)\)?\][ \t]*([-+*|]?=([^=]|$)|\.(push_back|emplace_back|add|insert)\()' \
    'a rank has no place of its own in a list that all share: return it from the body'
done

# Two types of one name in one namespace are one type to the linker, which takes either's functions and
# says nothing. Types begin at the start of a line here, as do the namespaces around them. Kernels'
# language has two sides, of which a compiler sees one.
types_of_one_name() {
  local lines
  # shellcheck disable=SC2016 # $0 is awk's
  lines=$(find "$@" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) \
    ! -path sim/cuda/language.h -print0 | sort -z | xargs -0 -r awk '
    FNR == 1 { depth = 0 }
    /^(inline )?namespace.*[{]$/ {
      name = $0
      gsub(/^(inline )?namespace *| *[{]$/, "", name)
      space[++depth] = name
    }
    /^}  \/\/ namespace/ { --depth }
    /^(template.*> )?(struct|class|enum) [^;(]*[{]/ {
      name = $0
      sub(/^(template.*> )?(enum class|struct|class|enum) (alignas[^ ]* )?/, "", name)
      if (name ~ /^[A-Za-z_0-9]+(::|<)/) next  # a part of another, or its case for an argument
      sub(/[^A-Za-z_0-9].*/, "", name)
      for (i = depth; i > 0; --i) {
        if (space[i] == "") next  # a file of its own has it
        name = space[i] "::" name
      }
      if (name in file && file[name] != FILENAME) print FILENAME ":" FNR ": " $0 "  and " file[name]
      file[name] = FILENAME
    }')
  if [ -n "$lines" ]; then
    printf '%s\n  %s\n' "$lines" 'two types of one name in one namespace: name one otherwise'
    found=1
  fi
}
folders=()
for folder in sim model verify viz cli; do
  [ ! -e "$folder" ] || folders+=("$folder")
done
[ ${#folders[@]} -eq 0 ] || types_of_one_name "${folders[@]}"

# The reference checks the others, so it may share nothing with them but the network as data, dtypes and
# errors.
forbid verify/reference "$(includes '(sim|model)/')" 'the reference shares no code with what it checks' \
  "$(includes '(model/architecture|model/config|sim/error|sim/dtype)\.h')"

exit "$found"
