/** What a person chooses at the top of a dashboard. */
export type Variable =
  /** A data source of a kind; the provisioned one is chosen by itself. */
  | {
      readonly kind: 'datasource';
      readonly name: string;
      readonly label: string;
      readonly type: 'prometheus' | 'tempo';
    }
  /** Values of a label, several or all of them. */
  | {
      readonly kind: 'label';
      readonly name: string;
      readonly label: string;
      readonly metric: string;
      readonly key: string;
    }
  /** Anything that a person types. */
  | { readonly kind: 'text'; readonly name: string; readonly label: string; readonly value: string };

export const prometheus: Variable = { kind: 'datasource', name: 'metrics', label: 'Metrics', type: 'prometheus' };
export const tempo: Variable = { kind: 'datasource', name: 'traces', label: 'Traces', type: 'tempo' };

/** A controller knows every model that has a queue; where none runs, workers say what they serve. */
export const model: Variable = {
  kind: 'label',
  name: 'model',
  label: 'Model',
  metric: '{__name__=~"longhaul_queue_demand|longhaul_slots"}',
  key: 'longhaul_model',
};

export const task: Variable = {
  kind: 'label',
  name: 'task',
  label: 'Task',
  metric: 'longhaul_jobs_submitted_total',
  key: 'longhaul_job_task',
};

export function typed(name: string, label: string, value: string): Variable {
  return { kind: 'text', name, label, value };
}

export function variableJson(variable: Variable): object {
  const { name, label } = variable;
  switch (variable.kind) {
    case 'datasource':
      return { type: 'datasource', name, label, query: variable.type, refresh: 1, hide: 0, regex: '' };
    case 'label': {
      const query = `label_values(${variable.metric}, ${variable.key})`;
      return {
        type: 'query',
        name,
        label,
        datasource: { type: 'prometheus', uid: `$\{${prometheus.name}}` },
        query: { query, refId: 'values' },
        // On each change of the time shown: a model that came today is in the list.
        refresh: 2,
        sort: 1,
        multi: true,
        includeAll: true,
        allValue: '.*',
        current: { selected: true, text: ['All'], value: ['$__all'] },
        hide: 0,
        regex: '',
      };
    }
    case 'text': {
      const { value } = variable;
      const current = { selected: true, text: value, value };
      return { type: 'textbox', name, label, query: value, current, options: [current], hide: 0 };
    }
  }
}
