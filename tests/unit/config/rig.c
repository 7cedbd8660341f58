#include "rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

char *rig_findings_text(const struct config_findings *f)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_findings_print(f, to);
    fclose(to);
    return text;
}

struct config *rig_good(const char *name, const char *yaml)
{
    struct config_findings f = {0};
    struct config *c = config_load_text(name, yaml, strlen(yaml), &f);
    char *text = rig_findings_text(&f);
    if (!c || f.n)
        fail_msg("%s", text);
    free(text);
    config_findings_finish(&f);
    return c;
}

void rig_finds(const char *yaml, bool loads, const char *want)
{
    struct config_findings f = {0};
    struct config *c = config_load_text("t.yaml", yaml, strlen(yaml), &f);
    char *text = rig_findings_text(&f);
    if (strcmp(text, want) != 0)
        fail_msg("wanted:\n%sgot:\n%s", want, text);
    assert_int_equal(c != NULL, loads);
    free(text);
    config_findings_finish(&f);
    config_destroy(c);
}
