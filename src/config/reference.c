/* The reference page, made from the option table. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "config/options.h"
#include "config/value.h"

static const char intro[] =
    "<!-- Made from the option table in src/config/options.c: build/tightwad config reference > doc/configuration.md "
    "-->\n"
    "# Configuration\n"
    "\n"
    "Tightwad reads one YAML file. The first of these that there is:\n"
    "\n"
    "1. the file named with `-c FILE` (before or after the verb),\n"
    "2. the one that `$TIGHTWAD_CONFIG` names,\n"
    "3. `./tightwad.yaml`,\n"
    "4. `./configs/cluster.yaml`,\n"
    "5. `$XDG_CONFIG_HOME/tightwad/cluster.yaml` (without that variable: `~/.config/tightwad/cluster.yaml`),\n"
    "6. `/etc/tightwad/cluster.yaml`.\n"
    "\n"
    "Variables of the environment go before the file, the file before the defaults. The variables are enough to run\n"
    "without any file: `TIGHTWAD_TARGET_URL=http://big:8081 TIGHTWAD_DRAFT_URL=http://small:8081 tightwad proxy "
    "start`.\n"
    "An empty variable counts as not set. With a list of drafters the `TIGHTWAD_DRAFT_` variables are about the "
    "first.\n"
    "\n"
    "`tightwad config check` names every mistake with file and line. `tightwad config show` prints the values in use "
    "and\n"
    "where each came from. `configs/` has commented examples.\n"
    "\n"
    "A running proxy notices a changed file by itself, and rereads it on SIGHUP. Options marked *reloadable* take "
    "effect\n"
    "at once, drafters among them; a change to another one is named in the log and waits for the next start. A file "
    "with\n"
    "mistakes changes nothing.\n"
    "\n"
    "## Values\n"
    "\n"
    "| type | written as |\n"
    "|---|---|\n"
    "| text, key | one line; `${NAME}` in it is replaced by the environment's `NAME` (an error when that is not set), "
    "`$${` stands for `${` |\n"
    "| URL | `http://HOST:PORT` or `https://HOST[:PORT]`, with a path before `/v1` if the server has one; IPv6 in "
    "`[brackets]` |\n"
    "| text of several lines | after `key: \\|`, indented below it |\n"
    "| whole number | `32` |\n"
    "| size | `10MiB`; B, KiB, MiB, GiB (powers of 1024), kB, MB, GB (powers of 1000); bytes without a unit |\n"
    "| number of GiB | `24`, `15.5`; also with a unit, as a size |\n"
    "| `on`, `off` or `auto` | also true and false, yes and no |\n"
    "| list of texts | `[\"--one\", \"two\"]`, or a line with `- ` for each |\n"
    "| path | absolute, from `~/`, or from the folder of the configuration |\n"
    "| duration | `30s`; ms, s, m, h; seconds without a unit |\n"
    "| share | `0.05`: from 0 to 1 |\n"
    "| yes or no | `true`, `false` (also yes, no, on, off) |\n"
    "\n"
    "Of YAML itself, anchors, aliases, tags and several documents in one file are not taken; a key may stand once.\n"
    "\n"
    "Keys of the older Python Tightwad that mean nothing here are ignored with a warning:";

static const char example[] = "\n## Example\n"
                              "\n"
                              "```yaml\n"
                              "proxy:\n"
                              "  port: 8088\n"
                              "  target:\n"
                              "    url: http://192.168.1.20:8081\n"
                              "  draft:\n"
                              "    url: http://192.168.1.30:8081\n"
                              "```\n";

static void type_text(const struct option *o, FILE *to)
{
    static const char *const names[] = {
        [OPTION_STRING] = "text",
        [OPTION_TEXT] = "text of one line or several",
        [OPTION_SECRET] = "key",
        [OPTION_HOST] = "address or host name",
        [OPTION_URL] = "URL",
        [OPTION_ENUM] = "one of",
        [OPTION_INT] = "whole number",
        [OPTION_SIZE] = "size",
        [OPTION_DURATION] = "duration",
        [OPTION_BOOL] = "yes or no",
        [OPTION_SHARE] = "share from 0 to 1",
        [OPTION_PATH] = "path",
        [OPTION_PROGRAM] = "path or name of a program",
        [OPTION_SWITCH] = "`on`, `off` or `auto`",
        [OPTION_GIB] = "number of GiB",
        [OPTION_WORDS] = "list of texts",
        [OPTION_PATHS] = "list of paths",
        [OPTION_VARS] = "section of names and texts",
    };
    fputs(names[o->type], to);
    for (size_t i = 0; o->type == OPTION_ENUM && o->names[i]; i++)
        fprintf(to, "%s `%s`", i ? "," : "", o->names[i]);
    if (o->type == OPTION_INT || o->type == OPTION_SIZE || o->type == OPTION_DURATION) {
        char *min = value_text(o, &o->min), *max = value_text(o, &o->max);
        fprintf(to, " from %s to %s%s%s", min, max, o->unit ? " " : "", o->unit ? o->unit : "");
        free(min);
        free(max);
    }
    if (o->or_auto)
        fputs(", or `auto`", to);
}

static void option_text(const struct option *o, FILE *to)
{
    fprintf(to, "\n### `%s`\n\n%s\n\n- ", o->key, o->help);
    type_text(o, to);
    if (o->def)
        fprintf(to, "; default `%s`\n", o->def);
    else
        fprintf(to, "; not set by default\n");
    if (o->env)
        fprintf(to, "- variable: `%s`\n", o->env + 1);
    fprintf(to, "- %s\n", o->reloadable ? "reloadable" : "takes effect at the next start");
}

void config_reference(FILE *to)
{
    fputs(intro, to);
    for (size_t i = 0; option_old_keys[i]; i++)
        fprintf(to, "%s `%s`", i ? "," : "", option_old_keys[i]);
    fputs(".\n", to);
    fputs(example, to);
    for (size_t i = 0; i < option_section_count; i++) {
        const struct option_section *s = &option_sections[i];
        if (*s->key)
            fprintf(to, "\n## `%s`\n\n%s\n", s->key, s->help);
        else
            fprintf(to, "\n## %s\n", s->help);
        for (size_t k = 0; k < option_count; k++) {
            if (option_in_section(&option_table[k], s->key))
                option_text(&option_table[k], to);
        }
    }
}
