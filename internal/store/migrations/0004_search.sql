-- +goose Up
-- Finding: words of orders, and what the pages of staff list.

-- By which words an order is found: its number, its customer's name, and every
-- word of both, without the difference of upper and lower case.
create table order_words (
    word     text not null,
    order_id text not null references orders (id),
    primary key (word, order_id)
);
insert into order_words (word, order_id) select lower(substr(customer, 1, 60)), id from orders;
insert into order_words (word, order_id) select lower(substr(number, 1, 60)), id from orders where lower(substr(number, 1, 60)) <> lower(substr(customer, 1, 60));

create index orders_customer on orders (customer, id);
create index recoveries_customer on recoveries (customer, number);
create index containers_flagged on containers (serial) where flag_reason <> '';
create index containers_blocked on containers (serial) where block_reason <> '';

-- Rises when every session of the account must end.
alter table staff add column epoch bigint not null default 0;
