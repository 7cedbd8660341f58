#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/log-writer.h"
#include "base/mem.h"

enum { RING = 256 };

static struct {
    pthread_mutex_t lock;
    enum log_level level;
    bool json, quiet;
    const char *program;
    struct log_line ring[RING];
    size_t written; /* lines ever written */
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .program = "tightwad"};

static const char *const names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
    logger.level = level;
}

enum log_level log_get_level(void)
{
    return logger.level;
}

bool log_level_from_name(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return names[level];
}

void log_set_json(bool json)
{
    logger.json = json;
}

void log_set_stderr(bool on)
{
    logger.quiet = !on;
}

void log_set_program(const char *name)
{
    logger.program = name;
}

/* With its newline, owned by the caller. */
static char *format_line(const struct log_line *line, const char *words)
{
    if (logger.json) {
        json_t *o = json_pack("{s:f,s:s,s:s}", "time", (double)line->wall_ms / 1000.0, "level", names[line->level],
                              "message", words);
        char *object = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
        char *text = xasprintf("%s\n", object != NULL ? object : "{}");
        free(object);
        json_decref(o);
        return text;
    }
    time_t seconds = (time_t)(line->wall_ms / 1000);
    struct tm tm;
    char stamp[16];
    localtime_r(&seconds, &tm);
    strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
    return xasprintf("%s %s: %s%s%s\n", stamp, logger.program, line->level >= LOG_WARN ? names[line->level] : "",
                     line->level >= LOG_WARN ? ": " : "", words);
}

static void write_line(const struct log_line *line, const char *words)
{
    char *text = format_line(line, words);
    if (!log_writer_put(STDERR_FILENO, text, strlen(text)))
        fputs(text, stderr);
    free(text);
}

/* told: the status and the dashboard show it as well. */
static void emit(enum log_level level, bool told, const char *fmt, va_list ap)
{
    if (level < logger.level)
        return;
    char *text = xvasprintf(fmt, ap);
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    }
    struct log_line line = {.wall_ms = clock_wall_ms(), .level = level};
    size_t len = strlen(text);
    if (len >= sizeof(line.text)) {
        len = sizeof(line.text) - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(line.text, text, len);
    pthread_mutex_lock(&logger.lock);
    if (told)
        logger.ring[logger.written++ % RING] = line;
    if (!logger.quiet)
        write_line(&line, text); /* in whole: the end of a message is often what to do about it */
    pthread_mutex_unlock(&logger.lock);
    free(text);
}

#define LOG_FUNCTION(name, level, told)                                                                                \
    void name(const char *fmt, ...)                                                                                    \
    {                                                                                                                  \
        va_list ap;                                                                                                    \
        va_start(ap, fmt);                                                                                             \
        emit(level, told, fmt, ap);                                                                                    \
        va_end(ap);                                                                                                    \
    }

LOG_FUNCTION(log_debug, LOG_DEBUG, true)
LOG_FUNCTION(log_info, LOG_INFO, true)
LOG_FUNCTION(log_warn, LOG_WARN, true)
LOG_FUNCTION(log_error, LOG_ERROR, true)
LOG_FUNCTION(log_event, LOG_INFO, false)

size_t log_recent(struct log_line *out, size_t n)
{
    pthread_mutex_lock(&logger.lock);
    size_t have = logger.written < RING ? logger.written : RING;
    if (n > have)
        n = have;
    for (size_t i = 0; i < n; i++)
        out[i] = logger.ring[(logger.written - n + i) % RING];
    pthread_mutex_unlock(&logger.lock);
    return n;
}
