/* Text laid out: whatever the width, nothing is lost, cut, or put over something else. */
#include "tests.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ui/page.h"
#include "ui/text.h"

/* Every line within the width, its pieces from left to right without overlap. */
static void assert_sound(const struct page *p)
{
    for (size_t i = 0; i < p->n_lines; i++) {
        int end = 0;
        for (size_t k = 0; k < p->line[i].n_pieces; k++) {
            const struct page_piece *piece = &p->line[i].piece[k];
            assert_true(piece->column >= end);
            assert_int_equal(piece->width, text_columns(piece->text, strlen(piece->text), p->ascii));
            end = piece->column + piece->width;
        }
        assert_true(end <= p->width);
    }
}

static char *all_text(const struct page *p)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < p->n_lines; i++) {
        char *line = page_line_text(&p->line[i]);
        buf_printf(&b, "%s\n", line);
        free(line);
    }
    char *text = buf_steal(&b);
    buf_finish(&b);
    return text;
}

static void assert_shows(const struct page *p, const char *want)
{
    char *text = all_text(p);
    assert_string_equal(text, want);
    free(text);
}

static void paragraphs_wrap_at_words(void **state)
{
    (void)state;
    struct page p;
    page_init(&p, 20, false, PAGE_NO_ITEM);
    page_say(&p, THEME_TEXT, "one two three four five six");
    page_say(&p, THEME_TEXT, "%s", "");
    page_mark(&p, THEME_GOOD, "✓ ", THEME_TEXT, "type `ollama pull qwen3:8b` there\nnow");
    assert_sound(&p);
    assert_shows(&p, "one two three four\nfive six\n\n✓ type ollama pull\n  qwen3:8b there\n  now\n");
    assert_int_equal(p.line[3].n_pieces, 3);
    assert_int_equal(p.line[3].piece[0].role, THEME_GOOD);
    assert_int_equal(p.line[3].piece[2].role, THEME_KEY);
    assert_string_equal(p.line[3].piece[2].text, "ollama pull");
    page_finish(&p);
}

static void a_word_that_is_too_wide_is_broken(void **state)
{
    (void)state;
    struct page p;
    page_init(&p, 20, false, PAGE_NO_ITEM);
    page_say(&p, THEME_TEXT, "at http://10.0.0.100:11434/long/path");
    assert_sound(&p);
    assert_shows(&p, "at\nhttp://10.0.0.100:11\n434/long/path\n");
    page_finish(&p);
}

static void wide_and_strange_characters(void **state)
{
    (void)state;
    struct page p;
    page_init(&p, 20, false, PAGE_NO_ITEM);
    page_say(&p, THEME_TEXT, "机器机器机器机器机器机器 e\xcc\x81 \xff \033[2J");
    assert_sound(&p);
    assert_shows(&p, "机器机器机器机器机器\n机器 e\xcc\x81 \xef\xbf\xbd \xef\xbf\xbd[2J\n");
    page_finish(&p);
    page_init(&p, 40, true, PAGE_NO_ITEM);
    page_mark(&p, THEME_GOOD, "✓ ", THEME_TEXT, "≥ 16 GB – target … 机");
    assert_shows(&p, "+ >= 16 GB - target ... ?\n");
    page_finish(&p);
    page_init(&p, 40, false, PAGE_NO_ITEM);
    p.signs = false;
    page_mark(&p, THEME_GOOD, "✓ ", THEME_TEXT, "≥ 16 GB – target → ö");
    assert_shows(&p, "+ ≥ 16 GB - target → ö\n");
    page_finish(&p);
}

static const struct page_column columns[] = {{"machine", false}, {"role", false}, {"what it has", true}};
static const struct page_cell cells[] = {
    {"desktop", THEME_TEXT},
    {"target", THEME_GOOD},
    {"RTX 3090, 24 GB; llama-server with a model of a long name", THEME_TEXT},
    {"laptop", THEME_TEXT},
    {"drafter", THEME_GOOD},
    {NULL, THEME_TEXT},
};
static const int items[] = {0, 1};

static void tables_wrap_in_their_columns(void **state)
{
    (void)state;
    struct page p;
    page_init(&p, 44, false, 0);
    page_table(&p, columns, 3, cells, 2, items);
    assert_sound(&p);
    assert_shows(&p, "  machine  role     what it has\n"
                     "▸ desktop  target   RTX 3090, 24 GB;\n"
                     "                    llama-server with a\n"
                     "                    model of a long name\n"
                     "  laptop   drafter\n");
    assert_int_equal(p.line[0].item, PAGE_NO_ITEM);
    assert_int_equal(p.line[3].item, 0);
    assert_int_equal(p.line[4].item, 1);
    page_finish(&p);
}

static void squeeze(const char *from, char *to)
{
    for (; *from != '\0'; from++) {
        if (*from != ' ' && *from != '\n')
            *to++ = *from;
    }
    *to = '\0';
}

/* However narrow: every letter of every cell is there. */
static void nothing_is_lost_at_any_width(void **state)
{
    (void)state;
    size_t letters = 0;
    for (int width = 20; width < 130; width++) {
        struct page p;
        page_init(&p, width, false, 1);
        page_table(&p, columns, 3, cells, 2, items);
        assert_sound(&p);
        char *text = all_text(&p);
        squeeze(text, text);
        if (letters == 0)
            letters = strlen(text);
        assert_int_equal(strlen(text), letters);
        free(text);
        page_finish(&p);
    }
}

static void scrolling_keeps_the_chosen_in_view(void **state)
{
    (void)state;
    struct page p;
    page_init(&p, 40, false, 0);
    page_say(&p, THEME_TEXT, "head\nhead");
    for (int i = 0; i < 30; i++)
        page_item(&p, i, THEME_TEXT, "", THEME_TEXT, "model %d", i);
    assert_int_equal(page_scroll(&p, 0, 10), 0);
    p.chosen = 12; /* line 14 */
    assert_int_equal(page_scroll(&p, 0, 10), 5);
    assert_int_equal(page_scroll(&p, 20, 10), 14);
    p.chosen = 29;
    assert_int_equal(page_scroll(&p, 0, 10), 22);
    assert_int_equal(page_scroll(&p, 99, 10), 22);
    assert_int_equal(page_scroll(&p, 99, 100), 0);
    p.chosen = 0;
    assert_int_equal(page_scroll(&p, 22, 10), 0);
    p.chosen = PAGE_NO_ITEM;
    assert_int_equal(page_scroll(&p, 99, 10), 22);
    assert_int_equal(page_scroll(&p, 7, 10), 7);
    page_finish(&p);
}

static void bars(void **state)
{
    (void)state;
    struct page p;
    page_init(&p, 40, true, PAGE_NO_ITEM);
    page_bar(&p, 0.5, 10);
    page_bar(&p, 2, 10);
    assert_shows(&p, "#####..... 50 %\n########## 100 %\n");
    page_finish(&p);
}

static int in_utf8(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") == NULL;
}

const struct CMUnitTest page_tests[] = {
    cmocka_unit_test_setup(paragraphs_wrap_at_words, in_utf8),
    cmocka_unit_test_setup(a_word_that_is_too_wide_is_broken, in_utf8),
    cmocka_unit_test_setup(wide_and_strange_characters, in_utf8),
    cmocka_unit_test_setup(tables_wrap_in_their_columns, in_utf8),
    cmocka_unit_test_setup(nothing_is_lost_at_any_width, in_utf8),
    cmocka_unit_test_setup(scrolling_keeps_the_chosen_in_view, in_utf8),
    cmocka_unit_test_setup(bars, in_utf8),
};
const size_t page_count = sizeof(page_tests) / sizeof(*page_tests);
