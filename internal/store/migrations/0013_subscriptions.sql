-- +goose Up
-- Subscriptions: licenses that last as long as periods are renewed.

-- The facts of each. State, and until when its licenses may be used, follow from
-- them. An order is of one subscription at most.
create table subscriptions (
    id            text primary key,
    order_id      text not null references orders (id),
    product       text not null references products (code),
    item          text not null,
    quantity      bigint not null check (quantity > 0),
    next_item     text not null default '',
    next_quantity bigint not null default 0,
    lead          text not null check (lead in ('licet', 'outside')),
    period        text not null,
    notice        bigint not null,
    grace         bigint not null,
    anchor        bigint not null,
    run           bigint not null,
    ends          bigint not null,
    changes       bigint not null default 0,
    canceled      bigint not null default 0,
    ended         bigint not null default 0,
    told          text not null check (told in ('active', 'ending', 'in_grace', 'lapsed', 'ended')),
    -- When time alone does something to it; 0 for never.
    due           bigint not null,
    created       bigint not null,
    version       bigint not null default 0
);
create unique index subscriptions_order on subscriptions (order_id);
create index subscriptions_due on subscriptions (due) where due > 0;

-- What there is to bill, each line once and for good: periods, and what was changed
-- within them. Quantities add up.
create table subscription_lines (
    subscription text not null references subscriptions (id),
    number       bigint not null check (number > 0),
    kind         text not null check (kind in ('period', 'added', 'edition', 'ended')),
    period       bigint not null,
    starts       bigint not null,
    ends         bigint not null,
    product      text not null,
    item         text not null,
    quantity     bigint not null,
    reference    text not null default '',
    made         bigint not null,
    primary key (subscription, number)
);
create unique index subscription_lines_reference on subscription_lines (subscription, reference) where reference <> '';
create index subscription_lines_time on subscription_lines (ends, starts);

-- Units that were counted of its licenses, by the day on which the server heard of it.
create table subscription_usage (
    subscription text not null,
    day          bigint not null,
    license      text not null,
    product      text not null,
    units        bigint not null,
    primary key (subscription, day, license)
);
create index subscription_usage_day on subscription_usage (day);

-- The subscription that a license belongs to; empty for none.
alter table licenses add column subscription text not null default '';
create index licenses_subscription on licenses (subscription) where subscription <> '';
