#include "cmd/show-modes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cmd/measure.h"
#include "cmd/term.h"

static int64_t whole(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static void approximate(bool colour)
{
    printf("%sapproximate%s", term_escape(colour, TERM_WARN), term_escape(colour, TERM_PLAIN));
}

static void trouble(const json_t *o)
{
    if (json_text(o, "why")[0] != '\0')
        printf("           %s\n", json_text(o, "why"));
}

/* ---- consensus ---- */

static void show_audit(const json_t *c)
{
    double low = json_number(c, "error_low"), high = json_number(c, "error_high");
    if (isnan(json_number(c, "error"))) {
        printf("           nothing of it has been checked yet");
    } else {
        printf("           %" PRId64 " of %" PRId64 " checked tokens were wrong: %.2g %%", whole(c, "wrong_tokens"),
               whole(c, "audited_tokens"), 100 * json_number(c, "error"));
        if (!isnan(low) && !isnan(high))
            printf(" (95 %% sure: %.2g to %.2g %%)", 100 * low, 100 * high);
    }
    printf(", up to %g %% is allowed\n", 100 * json_number(c, "max_error"));
}

void show_consensus(const json_t *c, bool colour)
{
    int64_t tokens = whole(c, "accepted") + whole(c, "fallback");
    printf("consensus  %s, ", json_text(c, "mode"));
    if (json_text(c, "why")[0] != '\0')
        printf(is(c, "suspended") ? "suspended: answers are exact" : "not in use: answers are exact");
    else
        approximate(colour);
    printf("\n");
    trouble(c);
    if (tokens == 0)
        return;
    printf("           %.1f %% of %" PRId64 " tokens without the target, %" PRId64 " of %" PRId64 " windows\n",
           100.0 * (double)whole(c, "accepted") / (double)tokens, tokens, whole(c, "skipped"), whole(c, "windows"));
    show_audit(c);
}

/* ---- the quality gate ---- */

static void show_agent(const json_t *a, bool colour)
{
    bool up = strcmp(json_text(a, "health"), "up") == 0;
    int64_t judged = whole(a, "approved") + whole(a, "corrected") + whole(a, "rejected");
    const char *reason = json_text(a, "reason");
    char number[32];
    printf("%s%s%s agent    %s", term_escape(colour, up ? TERM_GOOD : TERM_BAD), up ? "✓" : "✗",
           term_escape(colour, TERM_PLAIN), json_text(a, "name"));
    if (json_text(a, "model")[0] != '\0')
        printf("  %s", json_text(a, "model"));
    printf("  %" PRId64 " of %" PRId64 " slots busy, %" PRId64 " answers", whole(a, "busy"), whole(a, "slots"),
           whole(a, "answers"));
    if (judged > 0)
        printf(", %.0f %% approved, %.0f %% corrected, %.0f %% rejected",
               100.0 * (double)whole(a, "approved") / (double)judged,
               100.0 * (double)whole(a, "corrected") / (double)judged,
               100.0 * (double)whole(a, "rejected") / (double)judged);
    if (whole(a, "failures") > 0)
        printf(", %" PRId64 " failures", whole(a, "failures"));
    if (whole(a, "shadowed") > 0)
        printf(", %" PRId64 " of %" PRId64 " wrongly approved", whole(a, "false_approved"), whole(a, "shadowed"));
    if (!isnan(json_number(a, "answer_ms")))
        printf(", %s ms an answer", measure_format(number, sizeof(number), json_number(a, "answer_ms")));
    printf("%s%s\n", reason[0] != '\0' ? "\n           " : "", reason);
}

static void show_counters(const json_t *g)
{
    static const struct {
        const char *key, *word;
    } rest[] = {{"direct", "without an agent"}, {"unreviewed", "unreviewed"}, {"cached", "from the cache"},
                {"errors", "failed"},           {"retries", "retries"},       {"unreadable", "verdicts unreadable"}};
    printf("           %" PRId64 " approved, %" PRId64 " corrected, %" PRId64 " rejected", whole(g, "approved"),
           whole(g, "corrected"), whole(g, "rejected"));
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        if (whole(g, rest[i].key) > 0)
            printf(", %" PRId64 " %s", whole(g, rest[i].key), rest[i].word);
    }
    printf("; %" PRId64 " being written, %" PRId64 " being reviewed\n", whole(g, "writing"), whole(g, "reviewing"));
}

static void show_saved(const char *what, int decimals, double saved)
{
    if (!isnan(saved))
        printf("; %.*f %s %s", decimals, fabs(saved), what, saved < 0 ? "more than without" : "saved");
}

static void show_shares(const json_t *g)
{
    int64_t needed = whole(g, "corrected") + whole(g, "rejected") + whole(g, "direct");
    int64_t done = needed + whole(g, "approved") + whole(g, "unreviewed") + whole(g, "cached");
    int64_t tokens = whole(g, "tokens"), target = whole(g, "target_tokens");
    if (done == 0)
        return;
    printf("           %.0f %% of the requests needed the target to write", 100.0 * (double)needed / (double)done);
    if (tokens > 0) /* with its verdicts it may be more than all */
        printf(", as did %.0f %% of the tokens", 100.0 * (double)target / (double)tokens);
    show_saved("s of its time", 1, json_number(g, "seconds_saved"));
    show_saved("J", 0, json_number(g, "joules_saved"));
    printf("\n");
    if (whole(g, "shadowed") > 0)
        printf("           %" PRId64 " of %" PRId64 " approved answers that the target wrote as well were wrong "
               "(95 %% sure: %.2g to %.2g %%)\n",
               whole(g, "false_approved"), whole(g, "shadowed"), 100 * json_number(g, "shadow_low"),
               100 * json_number(g, "shadow_high"));
}

void show_gate(const json_t *g, bool colour)
{
    size_t i;
    json_t *a;
    printf("gate       %s, ", is(g, "on") ? "on" : "off");
    if (is(g, "on"))
        approximate(colour);
    else
        printf("answers are exact");
    printf(", reviewed by %s (%s), agents: %s\n", json_text(g, "verifier"), json_text(g, "review"),
           json_text(g, "routing"));
    trouble(g);
    show_counters(g);
    show_shares(g);
    json_array_foreach(json_object_get(g, "agents"), i, a)
    {
        show_agent(a, colour);
    }
}

void show_modes(const json_t *s, bool colour)
{
    const json_t *consensus = json_object_get(s, "consensus"), *gate = json_object_get(s, "gate");
    const char *mode = json_text(s, "mode");
    if (!json_is_object(consensus) && !json_is_object(gate))
        return;
    if (strcmp(mode, "consensus") == 0 && json_text(consensus, "why")[0] != '\0')
        printf("mode       %s would be served by consensus, and is served exactly for now\n", json_text(s, "model"));
    else if (strcmp(mode, "exact") == 0)
        printf("mode       %s is served exactly\n", json_text(s, "model"));
    else
        printf("mode       %s is served by %s, %sapproximate%s; %s@exact is exact\n", json_text(s, "model"),
               strcmp(mode, "gate") == 0 ? "the quality gate" : mode, term_escape(colour, TERM_WARN),
               term_escape(colour, TERM_PLAIN), json_text(s, "model"));
    if (json_is_object(consensus))
        show_consensus(consensus, colour);
    if (json_is_object(gate))
        show_gate(gate, colour);
}
